/**
 * A gateway in memory: sessions with numbered logs, and sockets that can be cut at any moment.
 *
 * What a socket sends arrives at once; what the gateway sends waits in the socket until a test lets it
 * through, so that a cut may fall between any two frames.
 */

import type { IWebSocket, WebSocketFactory } from "../src/connection.js";

type Frame = Readonly<Record<string, unknown>>;

interface ILogged {
  readonly n: number;
  readonly frame: Frame;
}

interface IListeners {
  open: (() => void)[];
  error: (() => void)[];
  message: ((event: { data: unknown }) => void)[];
  close: ((event: { code: number; reason: string }) => void)[];
}

/** Who is at the other end of fake sockets. */
export interface IPeer {
  receive(socket: FakeSocket, text: string): void;
  left(socket: FakeSocket): void;
}

export class FakeSocket implements IWebSocket {
  readonly listeners: IListeners = { open: [], error: [], message: [], close: [] };
  /** What the gateway has sent and the client has not got. */
  readonly onTheWay: string[] = [];
  isOpen = false;
  closedWith: number | null = null;

  constructor(
    private readonly gateway: IPeer,
    readonly url: string,
  ) {}

  addEventListener(type: keyof IListeners, listener: never): void {
    this.listeners[type].push(listener);
  }

  send(data: string): void {
    if (this.isOpen) {
      this.gateway.receive(this, data);
    }
  }

  close(code = 1005): void {
    this.closedWith = code;
    this.isOpen = false;
    this.gateway.left(this);
  }

  open(): void {
    this.isOpen = true;
    this.listeners.open.forEach((listener) => {
      listener();
    });
  }

  /** Lets so many frames through; those that answers to them bring count as well. */
  deliver(count = Infinity): void {
    for (let index = 0; index < count && this.isOpen; index += 1) {
      const text = this.onTheWay.shift();
      if (text === undefined) {
        return;
      }
      this.say(text);
    }
  }

  say(data: unknown): void {
    this.listeners.message.forEach((listener) => {
      listener({ data });
    });
  }

  /** The connection breaks: what is on the way is lost. */
  cut(code = 1006, reason = ""): void {
    this.onTheWay.length = 0;
    this.isOpen = false;
    this.gateway.left(this);
    this.listeners.close.forEach((listener) => {
      listener({ code, reason });
    });
  }
}

export class FakeGateway implements IPeer {
  readonly sockets: FakeSocket[] = [];
  readonly sessions = new Map<string, ILogged[]>();
  readonly running = new Map<string, Set<string>>();
  /** Everything that was received, in order. */
  readonly received: Frame[] = [];
  /** How often each run was begun; more than once is a fault of the client. */
  readonly begun = new Map<string, number>();
  /** The inputs that were taken, in order. */
  readonly taken: Frame[] = [];
  private readonly watchers = new Map<string, FakeSocket>();
  /** Does what a test wants instead of the usual, when it returns true. */
  intercept: (socket: FakeSocket, frame: Frame) => boolean = () => false;

  /** The constructor of sockets to this gateway. */
  get WebSocket(): WebSocketFactory {
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const gateway = this;
    return class extends FakeSocket {
      constructor(url: string) {
        super(gateway, url);
        gateway.sockets.push(this);
      }
    };
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (last === undefined) {
      throw new Error("nobody has connected");
    }
    return last;
  }

  send(socket: FakeSocket, frame: Frame): void {
    socket.onTheWay.push(JSON.stringify(frame));
  }

  /** A run tells something: it goes into the log of its session, and to who watches it. */
  tell(session: string, frame: Frame): void {
    const log = this.sessions.get(session) ?? [];
    this.sessions.set(session, log);
    const logged = { n: (log.at(-1)?.n ?? 0) + 1, frame };
    log.push(logged);
    const watcher = this.watchers.get(session);
    if (watcher !== undefined) {
      this.send(watcher, { ...frame, n: logged.n });
    }
    if (frame["type"] === "result") {
      this.running.get(session)?.delete(String(frame["id"]));
    }
  }

  /** Forgets the oldest frames of a session. */
  forget(session: string, count: number): void {
    this.sessions.get(session)?.splice(0, count);
  }

  left(socket: FakeSocket): void {
    for (const [session, watcher] of [...this.watchers]) {
      if (watcher === socket) {
        this.watchers.delete(session);
      }
    }
  }

  framesOf(action: string): Frame[] {
    return this.received.filter((frame) => frame["action"] === action);
  }

  receive(socket: FakeSocket, text: string): void {
    const frame = JSON.parse(text) as Frame;
    this.received.push(frame);
    if (this.intercept(socket, frame)) {
      return;
    }
    switch (frame["action"]) {
      case "auth":
        this.send(socket, { type: "authenticated" });
        break;
      case "ping":
        this.send(socket, { type: "pong", id: frame["id"] });
        break;
      case "execute":
        this.execute(socket, frame);
        break;
      case "resume":
        this.resume(socket, String(frame["session"]), Number(frame["after"]));
        break;
      case "stdin":
      case "eof":
      case "signal":
      case "resize":
        this.take(socket, frame);
        break;
      case "close":
        this.sessions.delete(String(frame["session"]));
        break;
    }
  }

  /** Takes an input, once, and acknowledges it as often as it comes. */
  private take(socket: FakeSocket, frame: Frame): void {
    const { id, input } = frame;
    if (!this.taken.some((before) => before["id"] === id && before["input"] === input)) {
      this.taken.push(frame);
    }
    this.send(socket, { type: "ack", id, input });
  }

  private execute(socket: FakeSocket, frame: Frame): void {
    const id = String(frame["id"]);
    const session = String(frame["session"]);
    this.begun.set(id, (this.begun.get(id) ?? 0) + 1);
    if (!this.sessions.has(session)) {
      this.sessions.set(session, []);
      this.running.set(session, new Set());
    }
    this.watchers.set(session, socket);
    this.running.get(session)?.add(id);
    this.tell(session, { type: "accepted", id, session, room: "0123" });
  }

  private resume(socket: FakeSocket, session: string, after: number): void {
    const log = this.sessions.get(session);
    if (log === undefined) {
      const message = "there is no such session";
      this.send(socket, { type: "error", error: "unknown_session", message });
      return;
    }
    const running = [...(this.running.get(session) ?? [])];
    const n = log.at(-1)?.n ?? 0;
    this.send(socket, { type: "resumed", session, room: "0123", n, running });
    const missing = Math.max(0, (log[0]?.n ?? 1) - 1 - after);
    if (missing > 0) {
      this.send(socket, { type: "gap", missing, n: after + missing });
    }
    for (const logged of log.filter((one) => one.n > after)) {
      this.send(socket, { ...logged.frame, n: logged.n });
    }
    this.watchers.set(session, socket);
  }
}
