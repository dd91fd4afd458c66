/** One open room in the side panel. */

import type { TranslationBundle } from "@jupyterlab/translation";
import {
  caretDownIcon,
  caretRightIcon,
  ellipsesIcon,
  folderIcon,
  linkIcon,
  notebookIcon,
  terminalIcon,
} from "@jupyterlab/ui-components";
import type { LabIcon } from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";
import * as React from "react";

import { CommandIDs } from "../commands.js";
import { bytes, clock, ofBytes, oneLine, short } from "../format.js";
import type { IMember, IRun, IWhere } from "../protocols/rooms.js";
import { ownRoleText, roleText } from "../roles.js";
import type { IRoom } from "../tokens.js";
import { useDomId } from "./dom_id.js";
import { IconButton } from "./icon_button.js";
import { Meter } from "./meter.js";

export interface IRoomCardProps {
  readonly room: IRoom;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
  /** UTC seconds. */
  readonly nowS: number;
  readonly isOpen: boolean;
  readonly toggle: () => void;
  /** Shows all that can be done with the room, at a place of the page. */
  readonly openMenu: (x: number, y: number) => void;
}

/** What is there to be done at once, as far as somebody has registered it. */
const ACTIONS: readonly (readonly [string, LabIcon])[] = [
  [CommandIDs.newNotebook, notebookIcon],
  [CommandIDs.openTerminal, terminalIcon],
  [CommandIDs.openFiles, folderIcon],
  [CommandIDs.copyLink, linkIcon],
];

export function RoomCard(props: IRoomCardProps): React.ReactElement {
  const { commands, isOpen, openMenu, room, toggle, trans } = props;
  const id = useDomId();
  const args = { room: room.id };
  return (
    <section className="embedenv-Room" aria-labelledby={id} data-room={room.id}>
      <header>
        <button
          type="button"
          className="embedenv-Room-toggle"
          aria-expanded={isOpen}
          aria-controls={`${id}-body`}
          onClick={toggle}
        >
          {isOpen ? <caretDownIcon.react tag="span" /> : <caretRightIcon.react tag="span" />}
          <span className="embedenv-Room-name" id={id}>
            {room.name}
          </span>
        </button>
        <State {...props} />
        <IconButton
          icon={ellipsesIcon}
          label={trans.__("What can be done with %1", room.name)}
          hasMenu
          onClick={(event) => {
            const { bottom, left } = event.currentTarget.getBoundingClientRect();
            openMenu(left, bottom);
          }}
        />
      </header>
      {isOpen && (
        <div id={`${id}-body`} className="embedenv-Room-body">
          <div className="embedenv-Room-actions">
            {ACTIONS.filter(([command]) => isThere(commands, command, args)).map(
              ([command, icon]) => (
                <IconButton
                  key={command}
                  icon={icon}
                  label={commands.label(command, args)}
                  onClick={() => void commands.execute(command, args)}
                />
              ),
            )}
            <span className="embedenv-hint">
              {trans.__("sandbox %1", room.model.tier)} · {ownRoleText(room.role, trans)}
            </span>
          </div>
          {room.self === null ? <Outside {...props} /> : <Meters room={room} trans={trans} />}
          <Members {...props} />
          <Facts room={room} trans={trans} />
        </div>
      )}
    </section>
  );
}

function isThere(commands: CommandRegistry, command: string, args: { room: string }): boolean {
  return commands.hasCommand(command) && commands.isVisible(command, args);
}

/** In a word or two how the room is, with a colour that says no more than the words. */
function State({ nowS, room, trans }: IRoomCardProps): React.ReactElement {
  const [kind, text] = stateOf(room, nowS, trans);
  return <span className={`embedenv-State embedenv-mod-${kind}`}>{text}</span>;
}

function stateOf(room: IRoom, nowS: number, trans: TranslationBundle): [string, string] {
  const { idle_stop_at: stopAt, is_paused: isPaused, running } = room.model;
  const { retryAtMs, state } = room.link;
  if (room.self !== null && state !== "connected") {
    const inS = retryAtMs === null ? 0 : (retryAtMs - performance.now()) / 1000;
    return [
      "warn",
      inS > 0 ? trans.__("Lost; again in %1 s", Math.ceil(inS)) : trans.__("Reconnecting…"),
    ];
  }
  if (isPaused) {
    return ["quiet", trans.__("Paused")];
  }
  if (running.length > 0) {
    return ["busy", trans._n("%1 run", "%1 runs", running.length)];
  }
  if (stopAt !== null) {
    return ["warn", trans.__("Stops in %1", clock(stopAt - nowS))];
  }
  return ["good", trans.__("Ready")];
}

function Outside({ commands, room, trans }: IRoomCardProps): React.ReactElement {
  return (
    <p className="embedenv-hint">
      {room.link.reason === "" ? trans.__("You are not in this room.") : room.link.reason}{" "}
      <button
        type="button"
        className="embedenv-link"
        onClick={() => void commands.execute(CommandIDs.enterRoom, { room: room.id })}
      >
        {trans.__("Enter")}
      </button>
    </p>
  );
}

interface IDescribed {
  readonly room: IRoom;
  readonly trans: TranslationBundle;
}

function Meters({ room, trans }: IDescribed): React.ReactElement {
  const { samples } = room.usage;
  const limits = room.usage.limits ?? room.model.limits;
  const now = samples.at(-1);
  const of = (used: string, limit: string): string => trans.__("%1 of %2", used, limit);
  const shown = (used: number | null | undefined, limit: number | null): string => {
    const known = used ?? trans.__("not known");
    if (limit === null) {
      return typeof known === "number" ? bytes(known) : known;
    }
    return ofBytes(known, limit, of);
  };
  const cores = now?.cpuCores == null ? trans.__("not known") : short(now.cpuCores);
  return (
    <div className="embedenv-Meters">
      <Meter
        label={trans.__("CPU")}
        text={
          limits.cpu_cores === null
            ? cores
            : of(cores, trans._n("%1 core", "%1 cores", limits.cpu_cores))
        }
        values={samples.map((sample) => sample.cpuCores)}
        limit={limits.cpu_cores}
      />
      <Meter
        label={trans.__("Memory")}
        text={shown(now?.memoryBytes, limits.memory_bytes)}
        values={samples.map((sample) => sample.memoryBytes)}
        limit={limits.memory_bytes}
      />
      <Meter
        label={trans.__("Disk")}
        text={shown(now?.diskBytes, limits.workspace_bytes)}
        values={samples.map((sample) => sample.diskBytes)}
        limit={limits.workspace_bytes}
      />
    </div>
  );
}

function Members(props: IRoomCardProps): React.ReactElement | null {
  const { room, trans } = props;
  if (room.model.members.length === 0) {
    return null;
  }
  return (
    <ul className="embedenv-Members" aria-label={trans.__("Members")}>
      {room.model.members.map((member) => (
        <Member key={member.id} member={member} {...props} />
      ))}
    </ul>
  );
}

function Member(props: IRoomCardProps & { readonly member: IMember }): React.ReactElement {
  const { commands, member, room, trans } = props;
  const runs = room.model.running.filter((run) => run.member === member.id);
  const isSelf = member.id === room.self?.id;
  const canChange = room.may("own") && member.role !== "own" && !isSelf;
  const args = { room: room.id, member: member.id };
  return (
    <li>
      <span
        className="embedenv-Member-color"
        style={{ backgroundColor: member.color }}
        aria-hidden="true"
      />
      <span className="embedenv-Member-name">
        {isSelf ? trans.__("%1 (you)", member.user) : member.user}
      </span>
      {canChange ? (
        <button
          type="button"
          className="embedenv-link"
          title={trans.__("Change what %1 may do", member.user)}
          onClick={() => void commands.execute(CommandIDs.changeRole, args)}
        >
          {roleText(member.role, trans)}
        </button>
      ) : (
        <span className="embedenv-hint">{roleText(member.role, trans)}</span>
      )}
      {member.where !== null && (
        <span className="embedenv-hint">{whereText(member.where, trans)}</span>
      )}
      {!isSelf && isThere(commands, CommandIDs.followMember, args) && (
        <button
          type="button"
          className="embedenv-link"
          aria-pressed={commands.isToggled(CommandIDs.followMember, args)}
          title={trans.__("Have here in front what %1 has", member.user)}
          onClick={() => void commands.execute(CommandIDs.followMember, args)}
        >
          {commands.isToggled(CommandIDs.followMember, args)
            ? trans.__("following")
            : trans.__("follow")}
        </button>
      )}
      {runs.map((run) => (
        <Run key={run.run} run={run} {...props} />
      ))}
    </li>
  );
}

function whereText({ kind, path }: IWhere, trans: TranslationBundle): string {
  switch (kind) {
    case "file":
    case "notebook":
      return trans.__("in %1", oneLine(path, 40));
    case "terminal":
      return trans.__("in terminal %1", path);
    case "preview":
      return trans.__("at port %1", path);
    case "kernel":
      return trans.__("in a notebook");
    default:
      return kind satisfies never;
  }
}

function Run({ nowS, run, trans }: IRoomCardProps & { readonly run: IRun }): React.ReactElement {
  const since = clock(Math.max(0, nowS - run.started_at));
  return (
    <span className="embedenv-Run" title={run.command}>
      {trans.__("runs")} <code>{oneLine(run.command, 60)}</code> {since}
    </span>
  );
}

/** What else is in the room, in one line. */
function Facts({ room, trans }: IDescribed): React.ReactElement | null {
  const { kernels, ports, terminals } = room.model;
  const facts = [
    kernels.length > 0 ? trans._n("%1 kernel", "%1 kernels", kernels.length) : "",
    terminals.length > 0 ? trans._n("%1 terminal", "%1 terminals", terminals.length) : "",
    ports.length > 0 ? trans.__("ports %1", ports.join(", ")) : "",
  ].filter((fact) => fact !== "");
  return facts.length === 0 ? null : <p className="embedenv-hint">{facts.join(" · ")}</p>;
}
