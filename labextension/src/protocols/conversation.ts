/**
 * The client's side of the Engine protocol over any number of connections, without I/O and without a clock.
 *
 * Theory of operation. Whoever has the socket reports here (`connected`, `receive`, `lost`) and writes
 * what `framesToSend` drains. A connection goes through
 *
 *     OFFLINE ──connected──► GREETING ──authenticated──► RESUMING ──all sessions there──► OPEN
 *        ▲──────────────────────────────lost─────────────────────────────────────────────┘
 *
 * GREETING says who pays. RESUMING comes back to one session after the other and takes in what was
 * missed; only then it is known which requests the gateway never got, and those are sent again, as is
 * input that was not acknowledged, which the gateway knows again by its number. So code runs at most
 * once, nothing is typed twice, and each frame of a run arrives once and in order.
 */

import { ConnectionLostError, EngineError, SessionLostError, UsageError } from "../errors.js";
import type {
  ClientFrame,
  ControlFrame,
  IAnswer,
  IClosed,
  IError,
  IExecute,
  IGap,
  IResult,
  IResumed,
  RunFrame,
} from "./engine.js";
import { encodeFrame, parseFrame } from "./engine.js";
import { Requests } from "./requests.js";

/** The gateway did not do what a control frame asked; the run goes on. */
export interface IRefused {
  readonly type: "refused";
  readonly code: string;
  readonly message: string;
}

/** The run ended while the connection was away: whether it got this frame before is not known. */
export interface IUnconfirmed {
  readonly type: "unconfirmed";
  readonly frame: ControlFrame;
}

/** What is told of a run before its end. */
export type RunEvent = RunFrame | IGap | IRefused | IUnconfirmed;

/** How a run ended. */
export type Outcome = IResult | IAnswer | Error;

/** Whom a conversation reports to. No call comes from within another one of the same conversation. */
export interface IListener {
  event(id: string, event: RunEvent): void;
  ended(id: string, outcome: Outcome): void;
  pong(id: string): void;
  /** The greeting was taken, and every session resumed. */
  opened(): void;
  /** A session is gone with its state: it ended, or was not there any more after a cut. */
  sessionLost(session: string, reason: string): void;
  /** The gateway complained about something that belongs to no run. */
  complained(error: EngineError): void;
}

export type Phase = "offline" | "greeting" | "resuming" | "open" | "closed";

interface ISession {
  lastN: number | null;
  /** Where it is, once that was told. */
  room: string;
  /** While it is resumed: up to which number frames follow, who ran then, and whether some are missing. */
  resumed: IResumed | null;
  hasGap: boolean;
}

export class Conversation {
  private phaseNow: Phase = "offline";
  private readonly runs = new Requests();
  private readonly sessions = new Map<string, ISession>();
  private toResume: string[] = [];
  private outgoing: string[] = [];
  private refusal: EngineError | null = null;
  private told = 0;

  constructor(
    private readonly apiKey: string,
    private readonly listener: IListener,
  ) {
    if (apiKey === "") {
      throw new UsageError("an API key is needed");
    }
  }

  get phase(): Phase {
    return this.phaseNow;
  }

  /** Why the gateway did not take the greeting of this connection. */
  get greetingError(): EngineError | null {
    return this.refusal;
  }

  /** How much was told of runs so far: a connection on which it grows is of use. */
  get progress(): number {
    return this.told;
  }

  // What the user asks

  /** Asks for a run; throws a `UsageError` for what no gateway would take. */
  execute(frame: Omit<IExecute, "action" | "api_key">): void {
    if (this.phaseNow === "closed") {
      throw new ConnectionLostError("The engine is closed.");
    }
    this.runs.add({ action: "execute", api_key: this.apiKey, ...frame });
    this.pump();
  }

  /** Sends a control frame as soon as its run is there to take it; one for a run that has ended is dropped. */
  control(frame: ControlFrame): void {
    this.runs.control(frame);
    this.pump();
  }

  ping(id: string): void {
    if (this.phaseNow === "open") {
      this.send({ action: "ping", id });
    }
  }

  /** Ends a session and everything in it. */
  closeSession(session: string): void {
    if (this.phaseNow === "open" && this.sessions.has(session)) {
      this.send({ action: "close", session });
    }
    this.sessions.delete(session);
  }

  /** Ends the conversation: every run that waits ends with `error`. Idempotent. */
  close(error: Error): void {
    if (this.phaseNow === "closed") {
      return;
    }
    this.phaseNow = "closed";
    for (const [id] of this.runs.all()) {
      this.end(id, error);
    }
  }

  // What the socket reports

  connected(): void {
    if (this.phaseNow === "offline") {
      this.phaseNow = "greeting";
      this.outgoing = [];
      this.send({ action: "auth", api_key: this.apiKey });
    }
  }

  /** The connection is gone: what cannot be resumed ends now, the rest waits for the next one. */
  lost(reason: string): void {
    if (this.phaseNow === "closed") {
      return;
    }
    this.phaseNow = "offline";
    this.refusal = null;
    this.outgoing = [];
    this.toResume = [];
    for (const session of this.sessions.values()) {
      session.resumed = null;
      session.hasGap = false;
    }
    for (const [id, run] of this.runs.all()) {
      if (run.isSent && !run.frame.stream) {
        this.end(id, new ConnectionLostError(`cut while it ran, its answer is lost: ${reason}`));
      }
    }
    this.runs.lost();
  }

  /** Takes in one message; throws a `FrameError` for what is no frame of a gateway. */
  receive(text: string): void {
    const frame = parseFrame(text);
    switch (frame.type) {
      case "authenticated":
        this.greeted();
        break;
      case "resumed":
        this.resumed(frame);
        break;
      case "error":
        this.failed(frame);
        break;
      case "gap":
        this.gap(frame);
        break;
      case "answer":
        this.answered(frame);
        break;
      case "closed":
        this.ended(frame);
        break;
      case "ack":
        this.runs.acknowledged(frame.id, frame.input);
        break;
      case "pong":
        this.listener.pong(frame.id ?? "");
        break;
      case "unknown":
        break;
      case "accepted":
      case "stage":
      case "stdout":
      case "stderr":
      case "display":
      case "prompt":
      case "warning":
      case "result":
        this.ofRun(frame);
        break;
      default:
        frame satisfies never;
    }
    this.pump();
  }

  /** Drains what is to be written, in order. */
  framesToSend(): string[] {
    const frames = this.outgoing;
    this.outgoing = [];
    return frames;
  }

  // The beginning of a connection

  private greeted(): void {
    if (this.phaseNow === "greeting") {
      this.phaseNow = "resuming";
      this.toResume = [...this.sessions.keys()];
      this.resumeNext();
    }
  }

  private resumeNext(): void {
    const session = this.toResume[0];
    if (session === undefined) {
      this.phaseNow = "open";
      this.listener.opened();
      return;
    }
    const after = this.sessions.get(session)?.lastN ?? 0;
    this.send({ action: "resume", session, api_key: this.apiKey, after });
  }

  private resumed(frame: IResumed): void {
    const session = this.sessions.get(frame.session);
    if (this.toResume[0] !== frame.session || session === undefined) {
      return;
    }
    session.resumed = frame;
    session.room = frame.room;
    this.settleAt(session.lastN ?? 0);
  }

  /** Ends the resuming of the session whose turn it is, once all that was missed has come. */
  private settleAt(n: number): void {
    const name = this.toResume[0];
    const session = name === undefined ? undefined : this.sessions.get(name);
    if (name === undefined || !session?.resumed || n < session.resumed.n) {
      return;
    }
    const running = new Set(session.resumed.running);
    for (const [id, run] of this.runs.all()) {
      if (run.frame.session !== name || !run.isSent || running.has(id)) {
        continue;
      }
      if (session.hasGap) {
        // Its end, or its beginning, is among the frames that are kept no more.
        const message = "what became of it was lost while the connection was cut";
        this.end(id, new ConnectionLostError(message));
      } else if (!run.isAccepted) {
        run.isSent = false;
      }
    }
    session.resumed = null;
    session.hasGap = false;
    this.toResume.shift();
    this.resumeNext();
  }

  private notThere(name: string): void {
    const session = this.sessions.get(name);
    const isNews = session?.lastN !== null;
    for (const [id, run] of this.runs.all()) {
      if (run.frame.session !== name || !run.isSent) {
        continue;
      }
      if (isNews) {
        this.end(id, new SessionLostError(name));
      } else {
        // Nothing was ever heard of it: the request that would have made it did not arrive.
        run.isSent = false;
      }
    }
    this.sessions.delete(name);
    if (isNews) {
      this.listener.sessionLost(name, "it was not there any more");
    }
    this.toResume.shift();
    this.resumeNext();
  }

  // Frames

  private ofRun(frame: RunFrame | IResult): void {
    const run = this.runs.get(frame.id);
    this.told += 1;
    if (this.isNew(run?.frame.session ?? this.toResume[0], frame.n) && run !== undefined) {
      if (frame.type === "result") {
        this.end(frame.id, frame);
      } else {
        if (frame.type === "accepted") {
          run.isAccepted = true;
          this.isIn(frame.session, frame.room);
        }
        this.listener.event(frame.id, frame);
      }
    }
    this.settleAt(frame.n ?? -1);
  }

  private isIn(name: string, room: string): void {
    const session = this.sessions.get(name);
    if (session !== undefined) {
      session.room = room;
    }
  }

  /** Notes the number of a frame of a session; false for one that was there before. */
  private isNew(name: string | undefined, n: number | null): boolean {
    const session = name === undefined ? undefined : this.sessions.get(name);
    if (session === undefined || n === null) {
      return true;
    }
    if (session.lastN !== null && n <= session.lastN) {
      return false;
    }
    session.lastN = n;
    return true;
  }

  private gap(frame: IGap): void {
    const name = frame.session ?? this.toResume[0] ?? this.onlySession();
    const session = name === undefined ? undefined : this.sessions.get(name);
    if (session !== undefined) {
      session.hasGap = true;
      this.isNew(name, frame.n);
    }
    for (const [id, run] of this.runs.all()) {
      if (run.isSent && run.frame.stream && (name === undefined || run.frame.session === name)) {
        this.listener.event(id, frame);
      }
    }
    this.settleAt(frame.n ?? -1);
  }

  private onlySession(): string | undefined {
    return this.sessions.size === 1 ? [...this.sessions.keys()][0] : undefined;
  }

  private answered(frame: IAnswer): void {
    const id = frame.id ?? "";
    if (this.runs.get(id)?.frame.stream === false) {
      this.end(id, frame);
    }
  }

  private failed(frame: IError): void {
    const retryAfterMs = frame.retry_after === null ? null : frame.retry_after * 1000;
    const error = new EngineError(frame.error, frame.message, retryAfterMs);
    if (frame.id !== null) {
      this.failedRun(frame.id, frame, error);
    } else if (this.phaseNow === "greeting") {
      this.refusal = error;
    } else if (this.toResume[0] !== undefined && /^unknown_(session|number)$/.test(frame.error)) {
      this.notThere(this.toResume[0]);
    } else {
      this.listener.complained(error);
    }
  }

  private failedRun(id: string, frame: IError, error: EngineError): void {
    const run = this.runs.get(id);
    if (run === undefined || !this.isNew(run.frame.session, frame.n)) {
      return;
    }
    if (frame.input !== null) {
      this.runs.acknowledged(id, frame.input);
    }
    if (run.isAccepted && frame.n === null) {
      // It answers a control frame; the end of the run has a number.
      this.listener.event(id, { type: "refused", code: error.code, message: error.message });
    } else {
      this.end(id, error);
    }
  }

  private ended({ session: name, reason, room }: IClosed): void {
    const known = this.sessions.get(name)?.room ?? "";
    if (room !== "" && known !== "" && room !== known) {
      return; // one of this name that was there before
    }
    for (const [id, run] of this.runs.all()) {
      if (run.frame.session === name && run.isSent) {
        this.end(id, new SessionLostError(name));
      }
    }
    if (this.sessions.delete(name)) {
      this.listener.sessionLost(name, reason);
    }
  }

  // Sending

  private pump(): void {
    if (this.phaseNow !== "open") {
      return;
    }
    for (const frame of this.runs.framesToSend()) {
      if (frame.action === "execute") {
        this.beginsIn(frame);
      }
      this.send(frame);
    }
  }

  private beginsIn({ session, stream }: IExecute): void {
    if (session !== undefined && stream && !this.sessions.has(session)) {
      this.sessions.set(session, { lastN: null, room: "", resumed: null, hasGap: false });
    }
  }

  private send(frame: ClientFrame): void {
    this.outgoing.push(encodeFrame(frame));
  }

  private end(id: string, outcome: Outcome): void {
    const unsure = this.runs.unsure(id);
    this.runs.delete(id);
    for (const frame of unsure) {
      this.listener.event(id, { type: "unconfirmed", frame });
    }
    this.listener.ended(id, outcome);
  }
}
