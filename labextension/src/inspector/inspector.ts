/** What somebody inspects: which protocol, with which key, the connection, and what is to be sent next. */

import type { ServerConnection } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { ITime } from "../connection.js";
import { UsageError } from "../errors.js";
import { socketUrlOf, urlOf } from "../request.js";
import type { ITicket } from "../tickets.js";
import type { EndpointId, IEndpoint, SampleId } from "./endpoints.js";
import { endpoint } from "./endpoints.js";
import type { IFrame } from "./frame_log.js";
import { pretty } from "./frame_log.js";
import { WireSession } from "./session.js";
import type { SnippetId } from "./snippets.js";
import { executeAsRequest, snippet } from "./snippets.js";
import type { SecretName } from "./vault.js";
import { PLACEHOLDER, Vault } from "./vault.js";

/** A ticket comes from the login of this page; one's own keys stay in its memory. */
export type Proof = "ticket" | "own";

/** What somebody types to prove who they are. */
export type OwnKey = Extract<SecretName, "API_KEY" | "PUBLIC_KEY" | "SECRET_KEY" | "JOIN_KEY">;

export interface IInspectorOptions {
  readonly settings: ServerConnection.ISettings;
  readonly time: ITime;
  readonly newTicket: () => Promise<ITicket>;
}

export class Inspector implements IDisposable {
  isDisposed = false;
  readonly vault = new Vault();
  private readonly changedSignal = new Signal<this, void>(this);
  private readonly ownKeys = new Map<OwnKey, string>();
  private endpointNow: IEndpoint = endpoint("engine");
  private proofNow: Proof = "ticket";
  private roomNow = "";
  private draftNow = "";
  private sessionNow: WireSession | null = null;
  private hasTicket = false;

  constructor(private readonly options: IInspectorOptions) {
    this.vault.set("TOKEN", options.settings.token);
    this.takeSample(this.endpointNow.samples[0]?.id ?? "execute");
  }

  /** Anything of it is another. */
  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  get endpoint(): IEndpoint {
    return this.endpointNow;
  }

  get proof(): Proof {
    return this.proofNow;
  }

  /** The id of the room whose events are looked at; "" where none is chosen. */
  get room(): string {
    return this.roomNow;
  }

  /** What is sent next, with placeholders for secrets. */
  get draft(): string {
    return this.draftNow;
  }

  get session(): WireSession | null {
    return this.sessionNow;
  }

  /** Another protocol, which ends what goes on. */
  choose(id: EndpointId): void {
    this.clear();
    this.endpointNow = endpoint(id);
    this.takeSample(this.endpointNow.samples[0]?.id ?? "execute");
  }

  chooseRoom(id: string): void {
    if (id !== this.roomNow) {
      this.clear();
      this.roomNow = id;
      this.changedSignal.emit();
    }
  }

  prove(proof: Proof): void {
    this.proofNow = proof;
    this.hasTicket = false;
    this.changedSignal.emit();
  }

  /** A key that somebody typed. */
  setOwn(name: OwnKey, key: string): void {
    this.ownKeys.set(name, key.trim());
  }

  write(draft: string): void {
    this.draftNow = draft;
    this.changedSignal.emit();
  }

  takeSample(id: SampleId): void {
    const sample = this.endpointNow.samples.find((one) => one.id === id);
    if (sample !== undefined) {
      this.write(JSON.stringify(sample.frame, null, 2));
    }
  }

  /** Takes a frame as what is sent next. */
  edit(frame: IFrame): void {
    this.write(pretty(this.vault.hide(frame.text)));
  }

  /** Where the protocol is served, as everybody may read it. */
  get url(): string {
    return this.vault.hide(this.address());
  }

  /** Opens the socket, unless one is open; resolves when it is. */
  async connect(): Promise<WireSession> {
    const known = this.sessionNow;
    const isRequest = this.endpointNow.transport !== "socket";
    if (known !== null && (isRequest || known.state === "open" || known.state === "connecting")) {
      return opened(known);
    }
    if (this.endpointNow.id === "room" && this.roomNow === "") {
      throw new UsageError("choose a room first");
    }
    this.clear();
    const { settings, time } = this.options;
    const { fetch } = settings; // as a method of something else, browsers do not let it be called
    const session = new WireSession({
      endpoint: this.endpointNow,
      url: this.address(),
      vault: this.vault,
      WebSocket: settings.WebSocket,
      fetch: async (url, init) => fetch(url, init),
      time,
      prepare: async (frame) => this.prepare(frame),
    });
    this.sessionNow = session;
    session.changed.connect(() => {
      this.changedSignal.emit();
    });
    session.connect();
    this.changedSignal.emit();
    return opened(session);
  }

  /** Sends what is written, over a new connection where there is none. */
  async send(): Promise<void> {
    const session = await this.connect();
    await session.send(oneLine(this.draftNow));
    this.changedSignal.emit();
  }

  disconnect(): void {
    this.sessionNow?.close();
  }

  /** Forgets the connection and its frames. */
  clear(): void {
    this.sessionNow?.dispose();
    this.sessionNow = null;
    this.hasTicket = false;
    this.changedSignal.emit();
  }

  /**
   * What was sent, or else what is written, as a program without secrets; `null` where there is none:
   * curl has no conversations, and REST only runs.
   */
  program(id: SnippetId): string | null {
    const { transport } = this.endpointNow;
    const before = this.sessionNow?.sent ?? [];
    const sent = before.length > 0 ? before : [oneLine(this.draftNow)];
    if (id !== "curl" || transport !== "socket") {
      return snippet(id, { transport, url: this.url, sent });
    }
    const asked = sent.map((frame) => executeAsRequest(frame, this.executeUrl())).at(-1) ?? null;
    return this.endpointNow.id === "engine" && asked !== null ? snippet("curl", asked) : null;
  }

  dispose(): void {
    if (!this.isDisposed) {
      this.isDisposed = true;
      this.sessionNow?.dispose();
      Signal.clearData(this);
    }
  }

  private address(): string {
    const { settings } = this.options;
    const { id, path, transport } = this.endpointNow;
    if (id === "room") {
      return socketUrlOf(settings, "rooms", this.roomNow, "events");
    }
    const parts = path.split("/");
    // Keys in the frames are all that counts: no token goes into these addresses.
    return transport === "socket"
      ? `${socketUrlOf({ ...settings, appendToken: false }, ...parts)}${path.endsWith("/") ? "/" : ""}`
      : urlOf(settings, ...parts);
  }

  private executeUrl(): string {
    return urlOf(this.options.settings, ...endpoint("rest").path.split("/"));
  }

  /** Sees to it that what a frame names is there. */
  private async prepare(frame: string): Promise<void> {
    const { transport } = this.endpointNow;
    const names = new Set([...frame.matchAll(PLACEHOLDER)].map((match) => match[1]));
    if (transport !== "socket") {
      names.add("API_KEY");
    }
    if (this.proofNow === "own") {
      for (const [name, key] of this.ownKeys) {
        this.vault.set(name, key, name !== "PUBLIC_KEY");
      }
    } else if (names.has("SECRET_KEY") || (names.has("API_KEY") && !this.hasTicket)) {
      await this.takeTicket();
    }
    const joinKey = this.ownKeys.get("JOIN_KEY") ?? "";
    if (joinKey !== "") {
      this.vault.set("JOIN_KEY", joinKey);
    }
    for (const name of names) {
      if (name !== undefined && this.vault.fill(`{{${name}}}`) === `{{${name}}}`) {
        throw new UsageError(`{{${name}}} stands for nothing yet`);
      }
    }
  }

  private async takeTicket(): Promise<void> {
    const { publicKey, ticket } = await this.options.newTicket();
    this.vault.set(this.endpointNow.id === "spaces" ? "SECRET_KEY" : "API_KEY", ticket);
    this.vault.set("PUBLIC_KEY", publicKey, false);
    // On a socket of the Engine it goes on to be good; everywhere else it is used up.
    this.hasTicket = this.endpointNow.id === "engine";
  }
}

/** Resolves when a socket is open; rejects when it ended before. */
async function opened(session: WireSession): Promise<WireSession> {
  if (session.endpoint.transport !== "socket" || session.state === "open") {
    return session;
  }
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (session.state === "open") {
        session.changed.disconnect(look);
        resolve(session);
      } else if (session.state === "closed") {
        session.changed.disconnect(look);
        reject(new UsageError("no connection could be made; the last note says what is known"));
      }
    };
    session.changed.connect(look);
  });
}

/** JSON without its line breaks, as programs send it; what is no JSON goes as it is written. */
function oneLine(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}
