/** One connection that is watched: what goes over it, and when. It speaks for whoever sits before it. */

import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { ITime, IWebSocket, WebSocketFactory } from "../connection.js";
import { messageOf } from "../errors.js";
import type { IEndpoint } from "./endpoints.js";
import { EventStream } from "./event_stream.js";
import { FrameLog } from "./frame_log.js";
import type { Mark } from "./timeline.js";
import { Timeline } from "./timeline.js";
import type { Vault } from "./vault.js";

export type SessionState = "new" | "connecting" | "open" | "closed";

/** What a session needs of the world; tests bring their own. */
export interface ISessionOptions {
  readonly endpoint: IEndpoint;
  readonly url: string;
  readonly vault: Vault;
  readonly WebSocket: WebSocketFactory;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly time: ITime;
  /** Puts what the frame needs into the vault: a ticket, where that is what stands for a key. */
  readonly prepare: (frame: string) => Promise<void>;
}

/** So many frames that were sent can be copied as a program. */
const MAX_SENT = 100;

export class WireSession {
  readonly log = new FrameLog();
  readonly timeline: Timeline;
  state: SessionState = "new";
  private socket: IWebSocket | null = null;
  private request: AbortController | null = null;
  private beganMs = 0;
  private asksPassword = false;
  private readonly sentFrames: string[] = [];
  private readonly changedSignal = new Signal<this, void>(this);

  constructor(private readonly options: ISessionOptions) {
    this.beganMs = options.time.now();
    this.timeline = new Timeline(options.endpoint.transport === "socket");
  }

  get endpoint(): IEndpoint {
    return this.options.endpoint;
  }

  /** As everybody may read it. */
  get url(): string {
    return this.options.vault.hide(this.options.url);
  }

  /** What was sent, as everybody may read it. */
  get sent(): readonly string[] {
    return this.sentFrames.map((frame) => this.options.vault.hide(frame));
  }

  /** A frame came or went, or the state is another one. */
  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  /** Milliseconds since it began. */
  get nowMs(): number {
    return this.options.time.now() - this.beganMs;
  }

  /** Opens the socket; a request has nothing to open before it is sent. */
  connect(): void {
    if (this.endpoint.transport !== "socket" || this.state !== "new") {
      return;
    }
    this.beganMs = this.options.time.now();
    this.become("connecting", `GET ${this.url}`, "Upgrade: websocket");
    const socket = new this.options.WebSocket(this.options.url);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.timeline.opened(this.nowMs);
      this.become("open", "101 Switching Protocols");
    });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") {
        this.received(data);
      } else {
        this.note("A message of bytes came, which no protocol here has.");
      }
    });
    socket.addEventListener("error", () => undefined);
    socket.addEventListener("close", ({ code, reason }) => {
      this.ended(`Closed: ${code}${reason === "" ? "" : ` ${reason}`}`);
    });
  }

  /** Sends a text, with secrets in the place of what stands for them; rejects where there is no connection. */
  async send(text: string): Promise<void> {
    const { endpoint, prepare, vault } = this.options;
    await prepare(text);
    const frame = vault.fill(text);
    if (endpoint.transport === "socket") {
      if (this.socket === null || this.state !== "open") {
        throw new Error("The connection is not open.");
      }
      this.socket.send(frame);
      this.going(frame, "");
    } else {
      await this.ask(frame);
    }
  }

  /** Ends it; idempotent. */
  close(): void {
    this.socket?.close(1000, "");
    this.request?.abort();
  }

  dispose(): void {
    Signal.clearData(this);
    this.close();
  }

  private async ask(body: string): Promise<void> {
    const { endpoint, fetch, url, vault } = this.options;
    if (this.request !== null) {
      throw new Error("The request before is not answered yet.");
    }
    const request = new AbortController();
    this.request = request;
    const headers = {
      Authorization: `Bearer ${vault.fill("{{API_KEY}}")}`,
      "Content-Type": "application/json",
      ...(endpoint.transport === "stream" ? { Accept: "text/event-stream" } : {}),
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    this.become("open");
    this.going(body, [`POST ${url}`, ...lines].join("\n"));
    try {
      const answer = await fetch(url, {
        method: "POST",
        body,
        headers,
        credentials: "omit", // the key is all that counts
        signal: request.signal,
      });
      await this.read(answer);
      this.ended("The answer is complete.");
    } catch (error) {
      this.ended(messageOf(error));
    } finally {
      this.request = null;
    }
  }

  private async read(answer: Response): Promise<void> {
    const shown = ["content-type", "retry-after", "x-ratelimit-remaining"].flatMap((name) => {
      const value = answer.headers.get(name);
      return value === null ? [] : [`${name}: ${value}`];
    });
    const head = [`${answer.status} ${answer.statusText}`.trim(), ...shown].join("\n");
    const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream") === true;
    if (!isStream || answer.body === null) {
      this.received(await answer.text(), head);
      return;
    }
    this.log.add("note", this.nowMs, "", head);
    this.mark("accepted");
    const events = new EventStream();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      for (const { data, id, name } of events.feed(value)) {
        this.received(data, `event: ${name}${id === "" ? "" : `, id: ${id}`}`);
      }
    }
  }

  private going(frame: string, head: string): void {
    this.options.vault.learn(frame, this.asksPassword ? ["data"] : []);
    this.sentFrames.push(frame);
    if (this.sentFrames.length > MAX_SENT) {
      this.sentFrames.shift();
    }
    this.log.add("out", this.nowMs, frame, head);
    this.mark(this.endpoint.mark("out", fieldsOf(frame)));
  }

  private received(frame: string, head = ""): void {
    const fields = fieldsOf(frame);
    this.options.vault.learn(frame);
    if (fields["type"] === "prompt" || fields["event"] === "prompt") {
      this.asksPassword = fields["password"] === true;
    }
    this.log.add("in", this.nowMs, frame, head);
    this.mark(this.endpoint.mark("in", fields));
  }

  private mark(mark: Mark): void {
    this.timeline.mark(mark, this.nowMs);
    this.changedSignal.emit();
  }

  private become(state: SessionState, note = "", head = ""): void {
    this.state = state;
    if (note !== "") {
      this.note(note, head);
    }
    this.changedSignal.emit();
  }

  private note(text: string, head = ""): void {
    this.log.add("note", this.nowMs, text, head);
    this.changedSignal.emit();
  }

  private ended(why: string): void {
    this.socket = null;
    this.timeline.closed(this.nowMs);
    this.become("closed", why);
  }
}

/** The fields of a frame; of what is no object there are none. */
function fieldsOf(frame: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(frame);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value))
      : {};
  } catch {
    return {};
  }
}
