/**
 * The WebSocket of a conversation: made, written, kept alive, made again. Nothing else touches one.
 *
 * A ping goes out every `pingEveryMs`; where nothing at all is heard for `pingDeadlineMs` after one, the
 * connection counts as dead and another one is made.
 */

import type { IRetry } from "./backoff.js";
import { Backoff } from "./backoff.js";
import { ConnectionLostError, EngineError, FrameError } from "./errors.js";
import { Latency } from "./latency.js";

/** One message: text, or bytes. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** What is used of a WebSocket: the browser's, Node's own (from version 22 on) and that of `ws` have it. */
export interface IWebSocket {
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { readonly code: number; readonly reason: string }) => void,
  ): void;
  /** Set to "arraybuffer" where a conversation takes bytes. */
  binaryType?: string;
  send(data: Message): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketFactory = new (url: string) => IWebSocket;

/** The clock and the timers; tests bring their own. */
export interface ITime {
  now(): number;
  /** Calls back once, after so many milliseconds; what it returns undoes that. */
  after(delayMs: number, callback: () => void): () => void;
}

/** What is said over a connection: a state without I/O and without a clock, which outlives any one socket. */
export interface IConversation {
  /** "offline" before a socket is open, "open" when the other side has greeted and all that was missed is there. */
  readonly phase: string;
  /** Why the other side did not take the greeting of this socket. */
  readonly greetingError: EngineError | null;
  /** How much was told so far: a connection on which it grows is of use. */
  readonly progress: number;
  /** A socket is open: the greeting is due. */
  connected(): void;
  /** Takes in a frame; throws a `FrameError` for what is none. */
  receive(text: string): void;
  /** Takes in a binary message, where there are any; throws a `FrameError` for what is none. */
  receiveBytes?(bytes: Uint8Array): void;
  lost(reason: string): void;
  /** Drains what is to be written. */
  framesToSend(): readonly Message[];
  ping(id: string): void;
  /** It ends for good. */
  close(error: Error): void;
}

export interface IConnectionSettings {
  readonly url: string;
  readonly WebSocket: WebSocketFactory;
  readonly time: ITime;
  readonly random: () => number;
  readonly retry: IRetry;
  /** How long opening a socket and greeting may take. */
  readonly greetingMs: number;
  readonly pingEveryMs: number;
  readonly pingDeadlineMs: number;
  /** Close codes after which no other connection would fare better. */
  readonly finalCodes?: ReadonlySet<number>;
}

/** Whom a connection reports to. */
export interface IConnectionListener {
  connected(): void;
  /** It was cut, and is being made again. */
  reconnecting(reason: string): void;
  /** The next attempt is made after so many milliseconds. */
  waiting?(delayMs: number, reason: string): void;
  /** A ping was answered. */
  measured?(latencyMs: number): void;
  /** It ended for good. */
  closed(error: Error): void;
}

/** What a gateway says when no other connection would fare better: not allowed, room ended, key revoked. */
const FINAL_CODES = new Set([1008, 4000, 4001]);
/** Errors in answer to a greeting that another connection may not meet. */
const PASSING = new Set(["unavailable", "rate_limited", "busy", "internal"]);
/** When a connection is lost that lived this long, or told anything of a run, the back-off starts anew. */
const USEFUL_MS = 10_000;
const HEART = "heart-";

export class Connection {
  readonly latency = new Latency();
  private socket: IWebSocket | null = null;
  private backoff: Backoff | null = null;
  private hasBeenOpen = false;
  private openedMs: number | null = null;
  private progressBefore = 0;
  private isClosed = false;
  private timers: (() => void)[] = [];
  private heardMs = 0;
  private pings = 0;
  private undoWait: (() => void) | null = null;
  private readonly pingsSentMs = new Map<string, number>();
  private readonly pingsAwaited = new Map<string, (latencyMs: number | Error) => void>();

  constructor(
    private readonly settings: IConnectionSettings,
    private readonly conversation: IConversation,
    private readonly listener: IConnectionListener,
  ) {}

  /** Makes the first connection; the listener hears how that ends. */
  open(): void {
    this.dial();
  }

  /** Writes what the conversation has to say. */
  flush(): void {
    const { socket } = this;
    if (socket !== null && this.conversation.phase !== "offline") {
      for (const frame of this.conversation.framesToSend()) {
        socket.send(frame);
      }
    }
  }

  /** Measures the way to the gateway and back, in milliseconds. */
  async ping(): Promise<number> {
    const id = this.sendPing();
    return new Promise((resolve, reject) => {
      if (id === null) {
        reject(new ConnectionLostError("there is no connection to measure now"));
        return;
      }
      this.pingsAwaited.set(id, (answer) => {
        if (typeof answer === "number") {
          resolve(answer);
        } else {
          reject(answer);
        }
      });
    });
  }

  /** The conversation heard a pong. */
  pong(id: string): void {
    const sentMs = this.pingsSentMs.get(id);
    if (sentMs === undefined) {
      return;
    }
    const latencyMs = this.settings.time.now() - sentMs;
    this.pingsSentMs.delete(id);
    this.latency.add(latencyMs);
    this.listener.measured?.(latencyMs);
    this.pingsAwaited.get(id)?.(latencyMs);
    this.pingsAwaited.delete(id);
  }

  /** The conversation was greeted, and every session is there again. */
  opened(): void {
    this.stopTimers();
    if (!this.hasBeenOpen) {
      // The budget of the first connection is not that of later ones.
      this.backoff = null;
    }
    this.hasBeenOpen = true;
    this.openedMs = this.settings.time.now();
    this.progressBefore = this.conversation.progress;
    this.beat();
    this.listener.connected();
  }

  /** Ends it for good. Idempotent. */
  close(error: Error = new ConnectionLostError("The engine is closed.")): void {
    if (this.isClosed) {
      return;
    }
    this.isClosed = true;
    this.flush();
    this.drop(1000, "");
    this.conversation.close(error);
    this.listener.closed(error);
  }

  /** Makes another connection in place of this one: who one is may have changed, and a socket does not learn it. */
  reopen(): void {
    if (!this.isClosed && this.socket !== null) {
      this.drop(1000, "");
      this.conversation.lost("made anew");
      this.openedMs = null;
      this.dial();
    }
  }

  /** Does not wait for the next attempt: the network is there again, or somebody looks. */
  hurry(): void {
    if (this.undoWait !== null) {
      this.stopTimers();
      this.dial();
    }
  }

  private dial(): void {
    let socket: IWebSocket;
    try {
      socket = new this.settings.WebSocket(this.settings.url);
    } catch (error) {
      // An address that no WebSocket takes will not do better next time.
      this.close(new ConnectionLostError(String(error)));
      return;
    }
    this.socket = socket;
    if (this.conversation.receiveBytes !== undefined) {
      socket.binaryType = "arraybuffer";
    }
    const isCurrent = (): boolean => this.socket === socket;
    socket.addEventListener("open", () => {
      if (isCurrent()) {
        this.conversation.connected();
        this.flush();
      }
    });
    socket.addEventListener("message", (event) => {
      if (isCurrent()) {
        this.heardMs = this.settings.time.now();
        this.receive(event.data);
      }
    });
    socket.addEventListener("close", (event) => {
      if (isCurrent()) {
        this.ended(event.code, event.reason);
      }
    });
    // `ws` throws an error that nobody listens to; a close event follows it, and has the reason.
    socket.addEventListener("error", () => undefined);
    this.wait(this.settings.greetingMs, () => {
      this.cut(`no greeting within ${this.settings.greetingMs} ms`);
    });
  }

  private receive(data: unknown): void {
    try {
      if (typeof data === "string") {
        this.conversation.receive(data);
      } else if (data instanceof ArrayBuffer && this.conversation.receiveBytes !== undefined) {
        this.conversation.receiveBytes(new Uint8Array(data));
      } else {
        throw new FrameError("a binary message");
      }
    } catch (error) {
      if (!(error instanceof FrameError)) {
        throw error;
      }
      // Who does not speak the protocol now will not speak it on another connection.
      this.close(new FrameError(`The gateway sent what is no frame: ${error.message}.`));
      return;
    }
    const refusal = this.conversation.greetingError;
    if (refusal === null) {
      this.flush();
    } else if (PASSING.has(refusal.code)) {
      this.cut(refusal.message);
    } else {
      this.close(refusal);
    }
  }

  private ended(code: number, reason: string): void {
    const why = reason === "" ? `closed with code ${code}` : reason;
    if ((this.settings.finalCodes ?? FINAL_CODES).has(code)) {
      this.close(new EngineError(`closed_${code}`, why));
    } else {
      this.cut(why);
    }
  }

  private cut(reason: string): void {
    this.drop(3000, "given up");
    this.conversation.lost(reason);
    if (this.wasUseful()) {
      this.backoff = null;
    }
    if (this.openedMs !== null) {
      this.listener.reconnecting(reason);
    }
    this.openedMs = null;
    if (this.backoff === null) {
      const { retry, random, time } = this.settings;
      const budgetMs = this.hasBeenOpen ? retry.giveUpMs : retry.firstMs;
      this.backoff = new Backoff(retry, random, time.now(), budgetMs);
    }
    const delayMs = this.backoff.nextDelayMs(this.settings.time.now());
    if (delayMs === null) {
      this.close(new ConnectionLostError(`No connection to the gateway: ${reason}.`));
    } else {
      this.undoWait = this.wait(delayMs, () => {
        this.undoWait = null;
        this.dial();
      });
      this.listener.waiting?.(delayMs, reason);
    }
  }

  private wasUseful(): boolean {
    const { openedMs, progressBefore } = this;
    return (
      openedMs !== null &&
      (this.conversation.progress > progressBefore ||
        this.settings.time.now() - openedMs >= USEFUL_MS)
    );
  }

  /** Lets go of the socket: nothing that it still says is heard. */
  private drop(code: number, reason: string): void {
    this.stopTimers();
    const { socket } = this;
    this.socket = null;
    socket?.close(code, reason);
    for (const answer of this.pingsAwaited.values()) {
      answer(new ConnectionLostError("the connection was cut before the answer"));
    }
    this.pingsAwaited.clear();
    this.pingsSentMs.clear();
  }

  private beat(): void {
    this.wait(this.settings.pingEveryMs, () => {
      const sentMs = this.settings.time.now();
      this.sendPing(HEART);
      this.wait(this.settings.pingDeadlineMs, () => {
        if (this.heardMs < sentMs) {
          this.cut(`no sign of life within ${this.settings.pingDeadlineMs} ms`);
        }
      });
      this.beat();
    });
  }

  private sendPing(prefix = "ping-"): string | null {
    if (this.conversation.phase !== "open") {
      return null;
    }
    this.pings += 1;
    const id = `${prefix}${this.pings}`;
    this.pingsSentMs.set(id, this.settings.time.now());
    this.conversation.ping(id);
    this.flush();
    return id;
  }

  private wait(delayMs: number, callback: () => void): () => void {
    const undo = this.settings.time.after(delayMs, () => {
      this.timers = this.timers.filter((timer) => timer !== undo);
      callback();
    });
    this.timers.push(undo);
    return undo;
  }

  private stopTimers(): void {
    for (const undo of this.timers) {
      undo();
    }
    this.timers = [];
    this.undoWait = null;
  }
}
