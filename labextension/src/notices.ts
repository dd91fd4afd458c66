/** What is told about rooms, and when: each thing once, and nothing that the user does oneself. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { CommandIDs } from "./commands.js";
import { bytes, clock, oneLine } from "./format.js";
import type { Happening, IEvent } from "./protocols/room_events.js";
import type { IEndedRoom, Role } from "./protocols/rooms.js";
import type { IPreferences } from "./settings.js";
import type { IRoom, IRoomEvent, IRooms } from "./tokens.js";

export type NoticeType = "info" | "success" | "warning" | "error";

export interface INoticeAction {
  readonly label: string;
  readonly command: string;
  readonly args: Readonly<Record<string, string>>;
}

/** Who shows notices. */
export interface INoticeBoard {
  /** Shows one until it is clicked away, or for so long; returns its name. */
  show(
    type: NoticeType,
    message: string,
    forMs: number | false,
    actions: readonly INoticeAction[],
  ): string;
  update(name: string, message: string): void;
  dismiss(name: string): void;
  hasCommand(command: string): boolean;
  /** Whether nobody looks at the page. */
  isHidden(): boolean;
}

/** Before that much time is left, nobody is told of an idle stop. */
const IDLE_NOTICE_S = 120;
const BRIEF_MS = 5000;
/** A run that was faster is no news. */
const LONG_RUN_S = 2;

export class Notices {
  /** The members of each room that we know to be there. */
  private readonly members = new Map<string, Set<string>>();
  private readonly runs = new Map<string, { readonly member: string; readonly command: string }>();
  private readonly idle = new Map<string, string>();
  private readonly entered = new Map<string, IRoom>();
  private hasToldCredits = false;

  constructor(
    private readonly rooms: IRooms,
    private readonly board: INoticeBoard,
    private readonly trans: TranslationBundle,
    private readonly preferences: () => IPreferences,
  ) {
    rooms.happened.connect(this.happened, this);
    rooms.changed.connect(this.changed, this);
    rooms.roomEnded.connect(this.roomEnded, this);
  }

  /** Shows how much time is left; called every second. */
  tick(nowS: number): void {
    for (const room of this.rooms.all) {
      this.countDown(room, nowS);
    }
    for (const [id, notice] of this.idle) {
      if (this.rooms.get(id) === undefined) {
        this.idle.delete(id);
        this.board.dismiss(notice);
      }
    }
  }

  private countDown(room: IRoom, nowS: number): void {
    const stopAt = room.model.idle_stop_at;
    const shown = this.idle.get(room.id);
    const leftS = stopAt === null ? Infinity : stopAt - nowS;
    if (leftS > IDLE_NOTICE_S || !this.preferences().notifications.idle) {
      if (shown !== undefined) {
        this.idle.delete(room.id);
        this.board.dismiss(shown);
      }
      return;
    }
    const { trans } = this;
    const message = trans.__(
      "%1 stops in %2, because nobody uses it. Its files are gone then.",
      room.name,
      clock(leftS),
    );
    if (shown !== undefined) {
      this.board.update(shown, message);
      return;
    }
    const keepS = this.preferences().keepSeconds;
    const label =
      keepS === 3600 ? trans.__("Keep for an hour") : trans.__("Keep for %1", clock(keepS));
    const actions = room.may("run") ? [this.action(label, CommandIDs.keepRoom, room)] : [];
    this.idle.set(room.id, this.board.show("warning", message, false, actions));
  }

  private changed(): void {
    for (const room of this.rooms.all) {
      const wasIn = this.entered.has(room.id);
      if (room.self !== null && !wasIn) {
        this.entered.set(room.id, room);
        this.members.set(room.id, new Set(room.model.members.map((member) => member.id)));
      } else if (room.self === null && wasIn && !room.hasEnded) {
        this.entered.delete(room.id);
        this.members.delete(room.id);
        if (room.link.reason !== "") {
          const message = this.trans.__("You are out of %1: %2", room.name, room.link.reason);
          this.board.show("warning", message, false, []);
        }
      }
    }
    for (const [id, room] of this.entered) {
      // Of a room that has ended more is told, in a moment.
      if (this.rooms.get(id) === undefined && this.rooms.ended.every((one) => one.id !== id)) {
        this.entered.delete(id);
        this.members.delete(id);
        const message = room.hasEnded
          ? this.trans.__("You are out of %1: %2", room.name, room.link.reason)
          : this.trans.__("%1 is gone: the server does not know it any more.", room.name);
        this.board.show("warning", message, false, []);
      }
    }
    this.warnOfCredits();
  }

  private warnOfCredits(): void {
    const least = this.preferences().notifications.lowCredits;
    const credits = this.rooms.account?.credits ?? null;
    const isLow = credits !== null && credits < least;
    if (isLow && !this.hasToldCredits) {
      const message = this.trans._n(
        "Only %1 credit is left.",
        "Only %1 credits are left.",
        credits,
      );
      this.board.show("warning", message, false, []);
    }
    this.hasToldCredits = isLow;
  }

  private happened(_: IRooms, { event, room }: IRoomEvent): void {
    this.tellOf(room, event.what, event);
  }

  private tellOf(room: IRoom, what: Happening, { at }: IEvent): void {
    const { trans } = this;
    const wanted = this.preferences().notifications;
    switch (what.event) {
      case "member-joined":
        if (this.isNew(room, what.member) && wanted.members) {
          this.board.show("info", trans.__("%1 is in %2 now.", what.user, room.name), BRIEF_MS, []);
        }
        break;
      case "member-left":
        this.members.get(room.id)?.delete(what.member);
        if (what.member !== room.self?.id && wanted.members) {
          this.board.show("info", trans.__("%1 has left %2.", what.user, room.name), BRIEF_MS, []);
        }
        break;
      case "role":
        if (what.member === room.self?.id) {
          this.roleChanged(room, what.role);
        }
        break;
      case "run-started":
        this.runs.set(what.run, what);
        break;
      case "run-ended":
        this.runEnded(room, what);
        break;
      case "port":
        if (wanted.ports) {
          this.portOpened(room, what.port);
        }
        break;
      case "limit":
        this.limitMet(room, what.breach, what.detail);
        break;
      case "idle":
        // The list of rooms says the same, for rooms that one is not in as well.
        if (what.seconds !== null) {
          this.countDown(room, at);
        }
        break;
      case "error":
        this.board.show("error", trans.__("%1: %2", room.name, what.text), false, []);
        break;
      case "output":
      case "prompt":
      case "prompt-answered":
      case "stop":
      case "files":
      case "post-mortem":
      case "unknown":
        break;
      default:
        what satisfies never;
    }
  }

  private roleChanged({ name }: IRoom, role: Role): void {
    const { trans } = this;
    switch (role) {
      case "view": {
        const message = trans.__(
          "In %1 you may only look now: its terminals, notebooks and files are read-only for you.",
          name,
        );
        // Whoever is in the midst of something has to learn why it stops.
        this.board.show("warning", message, false, []);
        break;
      }
      case "run": {
        const message = trans.__("In %1 you may run code now; its files are read-only.", name);
        this.board.show("info", message, BRIEF_MS, []);
        break;
      }
      case "edit":
      case "own":
        this.board.show(
          "info",
          trans.__("In %1 you may run code and edit files now.", name),
          BRIEF_MS,
          [],
        );
        break;
      default:
        role satisfies never;
    }
  }

  /** Who changes a name joins again, for the log; and nobody hears of oneself. */
  private isNew(room: IRoom, member: string): boolean {
    const known = this.members.get(room.id) ?? new Set();
    const isNew = !known.has(member) && member !== room.self?.id;
    this.members.set(room.id, known.add(member));
    return isNew;
  }

  private runEnded(room: IRoom, what: Extract<Happening, { event: "run-ended" }>): void {
    const run = this.runs.get(what.run);
    this.runs.delete(what.run);
    const isOwn = run !== undefined && run.member === room.self?.id;
    const isWanted = this.preferences().notifications.runs && this.board.isHidden();
    if (!isOwn || !isWanted || what.duration_s < LONG_RUN_S) {
      return;
    }
    const { trans } = this;
    const command = oneLine(run.command, 60);
    const lasted = clock(what.duration_s);
    if (what.code === 0) {
      const message = trans.__("Done after %1 in %2: %3", lasted, room.name, command);
      this.board.show("success", message, false, []);
    } else {
      const how = what.signal ?? trans.__("code %1", what.code ?? "?");
      const message = trans.__("Failed (%1) after %2 in %3: %4", how, lasted, room.name, command);
      this.board.show("error", message, false, []);
    }
  }

  private portOpened(room: IRoom, port: number): void {
    const { trans } = this;
    const canOpen = this.board.hasCommand(CommandIDs.openPreview) && room.may("run");
    const actions = canOpen
      ? [this.action(trans.__("Open"), CommandIDs.openPreview, room, { port: String(port) })]
      : [];
    const message = trans.__("A program in %1 listens on port %2.", room.name, port);
    this.board.show("info", message, false, actions);
  }

  private limitMet(room: IRoom, breach: string, detail: string): void {
    const { trans } = this;
    if (breach !== "oom") {
      const limit = detail === "" ? breach : `${breach} (${detail})`;
      const message = trans.__("%1 ran into a limit: %2", room.name, limit);
      this.board.show("warning", message, false, []);
      return;
    }
    const now = room.model.limits.memory_bytes;
    const most = this.rooms.account?.limits.memory_bytes ?? null;
    const more = now === null ? 0 : Math.min(2 * now, most ?? Infinity);
    const canGrow = now !== null && room.may("own") && more > now;
    const message =
      now === null
        ? trans.__("A program in %1 was ended, because memory ran out.", room.name)
        : trans.__(
            "A program in %1 was ended: the room's %2 of memory ran out.",
            room.name,
            bytes(now),
          );
    const actions = canGrow
      ? [
          this.action(trans.__("Restart with more memory"), CommandIDs.restartRoom, room, {
            memory_bytes: String(more),
          }),
        ]
      : [];
    this.board.show("error", message, false, actions);
  }

  private roomEnded(_: IRooms, ended: IEndedRoom): void {
    const { trans } = this;
    const wasIn = this.entered.delete(ended.id);
    this.members.delete(ended.id);
    const isPlanned = ended.cause === null && ended.breaches.length === 0;
    if (!wasIn && isPlanned) {
      return;
    }
    const why = ended.cause ?? ended.reason;
    this.board.show(
      isPlanned ? "info" : "error",
      trans.__("%1 has ended: %2", ended.name, why),
      isPlanned ? BRIEF_MS : false,
      [
        {
          label: trans.__("How it ended"),
          command: CommandIDs.postMortem,
          args: { room: ended.id },
        },
      ],
    );
  }

  private action(
    label: string,
    command: string,
    room: IRoom,
    args: Readonly<Record<string, string>> = {},
  ): INoticeAction {
    return { label, command, args: { room: room.id, ...args } };
  }
}
