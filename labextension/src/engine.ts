/** The client of the Engine protocol: code goes in, what it prints comes out as it is printed. */

import { engineUrl } from "./address.js";
import type { IRetry } from "./backoff.js";
import { DEFAULT_RETRY } from "./backoff.js";
import type { IConnectionSettings, ITime, WebSocketFactory } from "./connection.js";
import { Connection } from "./connection.js";
import type { EngineError } from "./errors.js";
import { UsageError } from "./errors.js";
import type { Latency } from "./latency.js";
import { Conversation } from "./protocols/conversation.js";
import type { IWork } from "./protocols/engine.js";
import type { IExecution } from "./run.js";
import { collect, Run } from "./run.js";
import { REAL_TIME } from "./time.js";

export interface IEngineOptions {
  readonly apiKey: string;
  /** A constructor of WebSockets, where there is no global one (Node before version 22): that of `ws`. */
  readonly WebSocket?: WebSocketFactory;
  readonly retry?: Partial<IRetry>;
  /** How long opening a socket and greeting may take; 10 s. */
  readonly greetingMs?: number;
  /** A ping goes out this often, 15 s, and the connection is given up without a sign of life in 10 s. */
  readonly pingEveryMs?: number;
  readonly pingDeadlineMs?: number;
  /** Hears of each change of `state`, with its reason. */
  readonly onState?: (state: EngineState, reason: string) => void;
  /** Hears when a session is gone with its state. */
  readonly onSessionLost?: (session: string, reason: string) => void;
  /** Hears what the gateway says that belongs to no run. */
  readonly onComplaint?: (error: EngineError) => void;
  /** For tests: the clock, and the dice of the back-off. */
  readonly time?: ITime;
  readonly random?: () => number;
}

export interface IExecuteOptions extends IWork {
  /** Keeps its state between connections and clients; without a name it is the engine's own. */
  readonly session?: string;
}

export interface ICollectOptions extends IExecuteOptions {
  /** How many characters of each stream are kept; 16 Mi. */
  readonly maxChars?: number;
}

export type EngineState = "connecting" | "connected" | "reconnecting" | "closed";

const DEFAULT_CHARS = 16 << 20;

export class Engine {
  private readonly conversation: Conversation;
  private readonly connection: Connection;
  private readonly runs = new Map<string, Run>();
  private readonly ownSession: string;
  private readonly prefix: string;
  private count = 0;
  private stateNow: EngineState = "connecting";

  /** Connects and says who pays; rejects with an `EngineError` for a key that is nobody's. */
  static async connect(url: string, options: IEngineOptions): Promise<Engine> {
    return new Promise((resolve, reject) => {
      const engine: Engine = new Engine(url, options, (error) => {
        if (error === null) {
          resolve(engine);
        } else {
          reject(error);
        }
      });
      engine.connection.open();
    });
  }

  private constructor(
    url: string,
    private readonly options: IEngineOptions,
    settled: (error: Error | null) => void,
  ) {
    const random = options.random ?? Math.random;
    this.prefix = name(random);
    this.ownSession = `engine-${name(random)}${name(random)}`;
    this.conversation = new Conversation(options.apiKey, {
      event: (id, event) => this.runs.get(id)?.push(event),
      ended: (id, outcome) => {
        this.runs.get(id)?.end(outcome);
        this.runs.delete(id);
      },
      pong: (id) => {
        this.connection.pong(id);
      },
      opened: () => {
        this.connection.opened();
      },
      sessionLost: (session, reason) => options.onSessionLost?.(session, reason),
      complained: (error) => options.onComplaint?.(error),
    });
    this.connection = new Connection(settings(url, options, random), this.conversation, {
      connected: () => {
        this.changed("connected", "");
        settled(null);
      },
      reconnecting: (reason) => {
        this.changed("reconnecting", reason);
      },
      closed: (error) => {
        this.changed("closed", error.message);
        settled(error);
      },
    });
  }

  get state(): EngineState {
    return this.stateNow;
  }

  /** What pings took so far; one goes out by itself every now and then. */
  get latency(): Latency {
    return this.connection.latency;
  }

  /** Measures the way to the gateway and back, in milliseconds. */
  async ping(): Promise<number> {
    return this.connection.ping();
  }

  /** Runs code to its end. A program that asks for input finds its end, unless `stdin` has it. */
  async execute(
    language: string,
    code: string,
    options: ICollectOptions = {},
  ): Promise<IExecution> {
    const { maxChars = DEFAULT_CHARS, ...work } = options;
    return collect(this.stream(language, code, { stdin: "", ...work }), maxChars);
  }

  /** Begins a run, whose events are to be iterated over. It goes on while the connection is made again. */
  stream(language: string, code: string, options: IExecuteOptions = {}): Run {
    this.count += 1;
    const run = new Run(`${this.prefix}-${this.count}`, (frame) => {
      this.conversation.control(frame);
      this.connection.flush();
    });
    const session = options.session ?? this.ownSession;
    this.conversation.execute({ ...options, language, code, id: run.id, stream: true, session });
    this.runs.set(run.id, run);
    this.connection.flush();
    return run;
  }

  /** A session by its name: what runs in it finds the state of what ran before, from whichever client. */
  session(sessionName: string): Session {
    if (!/^[\w.-]{1,64}$/.test(sessionName)) {
      throw new UsageError(
        `"${sessionName}" is no name of a session: up to 64 letters, digits and _ . -`,
      );
    }
    return new Session(this, sessionName, () => {
      this.conversation.closeSession(sessionName);
      this.connection.flush();
    });
  }

  /** Ends the engine's own session and the connection; named sessions go on. Idempotent. */
  close(): void {
    this.conversation.closeSession(this.ownSession);
    this.connection.close();
  }

  private changed(state: EngineState, reason: string): void {
    this.stateNow = state;
    this.options.onState?.(state, reason);
  }
}

/** One session of an engine, by name. */
export class Session {
  constructor(
    private readonly engine: Engine,
    readonly name: string,
    private readonly end: () => void,
  ) {}

  async execute(
    language: string,
    code: string,
    options: Omit<ICollectOptions, "session"> = {},
  ): Promise<IExecution> {
    return this.engine.execute(language, code, { ...options, session: this.name });
  }

  stream(language: string, code: string, options: Omit<IExecuteOptions, "session"> = {}): Run {
    return this.engine.stream(language, code, { ...options, session: this.name });
  }

  /** Ends the session, with its state and what runs in it, for all clients. */
  close(): void {
    this.end();
  }
}

function settings(url: string, options: IEngineOptions, random: () => number): IConnectionSettings {
  return {
    url: engineUrl(url),
    WebSocket: options.WebSocket ?? globalWebSocket(),
    time: options.time ?? REAL_TIME,
    random,
    retry: { ...DEFAULT_RETRY, ...options.retry },
    greetingMs: options.greetingMs ?? 10_000,
    pingEveryMs: options.pingEveryMs ?? 15_000,
    pingDeadlineMs: options.pingDeadlineMs ?? 10_000,
  };
}

function globalWebSocket(): WebSocketFactory {
  if (typeof WebSocket === "undefined") {
    throw new UsageError(
      "there is no WebSocket here: pass the constructor of one, such as that of ws",
    );
  }
  return WebSocket;
}

/** Eight letters and digits, so that ids of several clients of a session differ. */
function name(random: () => number): string {
  return Math.floor(random() * 36 ** 8)
    .toString(36)
    .padStart(8, "0");
}
