/** The wire inspector: a connection of a protocol, made for real, with each frame and where the time went. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { HTMLSelect, ReactWidget, UseSignal } from "@jupyterlab/ui-components";
import * as React from "react";

import type { EndpointId } from "../inspector/endpoints.js";
import { ENDPOINTS } from "../inspector/endpoints.js";
import type { Inspector, OwnKey, Proof } from "../inspector/inspector.js";
import type { IRooms } from "../tokens.js";
import { Composer } from "./composer.js";
import { Frames } from "./frames.js";
import { TimelineBars } from "./timeline.js";

export interface IWireInspectorOptions {
  readonly inspector: Inspector;
  readonly rooms: IRooms;
  readonly trans: TranslationBundle;
  readonly send: () => void;
}

export class WireInspector extends ReactWidget {
  private readonly timer: number;

  constructor(private readonly options: IWireInspectorOptions) {
    super();
    this.addClass("embedenv-Inspector");
    // Many frames at once are one rendering.
    options.inspector.changed.connect(this.update, this);
    this.timer = window.setInterval(() => {
      const { session } = options.inspector;
      if (this.isVisible && session?.timeline.spans.some((span) => span.toMs === null) === true) {
        this.update();
      }
    }, 250);
  }

  get inspector(): Inspector {
    return this.options.inspector;
  }

  override dispose(): void {
    window.clearInterval(this.timer);
    this.options.inspector.dispose();
    super.dispose();
  }

  protected override render(): React.ReactElement {
    const { inspector, trans } = this.options;
    const { session } = inspector;
    return (
      <>
        <Choice {...this.options} />
        <p className="embedenv-Inspector-where">
          <code>{inspector.url}</code>
          <span role="status" className={`embedenv-mod-${session?.state ?? "new"}`}>
            {stateText(inspector, trans)}
          </span>
        </p>
        {session !== null && session.timeline.spans.length > 0 && (
          <TimelineBars spans={session.timeline.spans} nowMs={session.nowMs} trans={trans} />
        )}
        <Frames
          key={session === null ? "none" : "some"}
          frames={session?.log.frames ?? []}
          dropped={session?.log.dropped ?? 0}
          vault={inspector.vault}
          trans={trans}
          edit={(frame) => {
            inspector.edit(frame);
            this.node.querySelector("textarea")?.focus();
          }}
        />
        <Composer inspector={inspector} trans={trans} send={this.options.send} />
      </>
    );
  }
}

function Choice({ inspector, rooms, trans }: IWireInspectorOptions): React.ReactElement {
  const { endpoint, proof, room } = inspector;
  const proofs: readonly Proof[] = ["ticket", "own"];
  return (
    <div className="embedenv-Inspector-choice">
      <label>
        {trans.__("Protocol")}
        <HTMLSelect
          value={endpoint.id}
          onChange={({ target: { value } }) => {
            inspector.choose(ENDPOINTS.find((id) => id === value) ?? "engine");
          }}
        >
          {ENDPOINTS.map((id) => (
            <option key={id} value={id}>
              {endpointText(id, trans)}
            </option>
          ))}
        </HTMLSelect>
      </label>
      {endpoint.id === "room" ? (
        <UseSignal signal={rooms.changed}>
          {() => (
            <label>
              {trans.__("Room")}
              <HTMLSelect
                value={room}
                onChange={({ target: { value } }) => {
                  inspector.chooseRoom(value);
                }}
              >
                <option value="">
                  {rooms.all.length === 0 ? trans.__("None is open") : trans.__("Choose…")}
                </option>
                {rooms.all.map(({ id, name }) => (
                  <option key={id} value={id}>
                    {name}
                  </option>
                ))}
              </HTMLSelect>
            </label>
          )}
        </UseSignal>
      ) : (
        <label>
          {trans.__("Who pays")}
          <HTMLSelect
            value={proof}
            title={trans.__(
              "A ticket is good for one connection; keys that you type stay in this page's memory",
            )}
            onChange={({ target: { value } }) => {
              inspector.prove(proofs.find((one) => one === value) ?? "ticket");
            }}
          >
            <option value="ticket">{trans.__("You, with a ticket of your login")}</option>
            <option value="own">{trans.__("Keys that you type")}</option>
          </HTMLSelect>
        </label>
      )}
      {keysOf(inspector).map((name) => (
        <KeyField key={`${endpoint.id} ${name}`} name={name} inspector={inspector} trans={trans} />
      ))}
    </div>
  );
}

/** Which keys somebody may type. */
function keysOf({ endpoint, proof }: Inspector): readonly OwnKey[] {
  if (endpoint.id === "room") {
    return [];
  }
  if (endpoint.id === "spaces") {
    return proof === "own" ? ["PUBLIC_KEY", "SECRET_KEY", "JOIN_KEY"] : ["JOIN_KEY"];
  }
  return proof === "own" ? ["API_KEY"] : [];
}

interface IKeyFieldProps {
  readonly name: OwnKey;
  readonly inspector: Inspector;
  readonly trans: TranslationBundle;
}

function KeyField({ inspector, name, trans }: IKeyFieldProps): React.ReactElement {
  const labels: Readonly<Record<OwnKey, string>> = {
    API_KEY: trans.__("API key"),
    PUBLIC_KEY: trans.__("Public key"),
    SECRET_KEY: trans.__("Secret key"),
    JOIN_KEY: trans.__("Join key, to join with"),
  };
  return (
    <label>
      {labels[name]}
      <input
        className="jp-mod-styled"
        type={name === "PUBLIC_KEY" ? "text" : "password"}
        autoComplete="off"
        placeholder={`{{${name}}}`}
        onChange={({ target: { value } }) => {
          inspector.setOwn(name, value);
        }}
      />
    </label>
  );
}

function endpointText(id: EndpointId, trans: TranslationBundle): string {
  switch (id) {
    case "engine":
      return trans.__("Engine");
    case "rest":
      return trans.__("Engine, by REST");
    case "stream":
      return trans.__("Engine, as Server-Sent Events");
    case "spaces":
      return trans.__("Spaces");
    case "room":
      return trans.__("Events of a room");
    default:
      return id satisfies never;
  }
}

function stateText({ endpoint, session }: Inspector, trans: TranslationBundle): string {
  const isSocket = endpoint.transport === "socket";
  const count = session?.log.total ?? 0;
  switch (session?.state ?? "new") {
    case "new":
      return isSocket ? trans.__("Not connected") : trans.__("Nothing sent yet");
    case "connecting":
      return trans.__("Connecting…");
    case "open":
      return isSocket
        ? trans._n("Connected, %1 frame", "Connected, %1 frames", count)
        : trans.__("Waiting for the answer…");
    case "closed":
      return isSocket
        ? trans._n("Closed, %1 frame", "Closed, %1 frames", count)
        : trans.__("Answered");
    default:
      return "";
  }
}
