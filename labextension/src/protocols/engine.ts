/**
 * The frames of the Engine protocol, which runs code: one JSON object in each message of a WebSocket.
 *
 * docs/protocols/engine.md is the full description, and tests/golden/engine_stream.json holds frames
 * with their meaning. This module is pure: it neither sends nor waits.
 */

import { FrameError } from "../errors.js";
import { Fields } from "./fields.js";

/** A file is its text, or its bytes in base64. */
export type FileContent = string | { readonly base64: string };

export interface ISize {
  readonly rows: number;
  readonly cols: number;
}

/** What the room of a session may use, at most what the gateway allows. */
export interface ILimits {
  readonly memory_mib?: number;
  readonly pids?: number;
  readonly cpus?: number;
  readonly disk_mib?: number;
}

/** How code is run; all of it may be left out. */
export interface IWork {
  /** The whole input; a program that reads on finds its end. Left out, input comes by `stdin` frames. */
  readonly stdin?: string;
  /** By path, relative to the folder that the program runs in. */
  readonly files?: Readonly<Record<string, FileContent>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Seconds. */
  readonly timeout?: number;
  readonly limits?: ILimits;
  /** Run on a terminal of this size. */
  readonly pty?: ISize;
  /** Whether the code continues what ran before it in its session, or is a whole program. */
  readonly cell?: boolean;
  /** Run it as a program of its own, which finds no state and leaves none. */
  readonly fresh?: boolean;
}

// Client to server

export interface IExecute extends IWork {
  readonly action: "execute";
  readonly language: string;
  readonly code: string;
  readonly api_key: string;
  readonly id: string;
  readonly stream: boolean;
  readonly session?: string;
}

export interface IAuth {
  readonly action: "auth";
  readonly api_key: string;
}

/** What a run is given while it runs. One with a number is acknowledged by it, and taken only once. */
interface IInput {
  readonly id: string;
  readonly input?: number;
}

export interface IStdin extends IInput {
  readonly action: "stdin";
  readonly data: string;
}

export interface IEof extends IInput {
  readonly action: "eof";
}

export interface ISignal extends IInput {
  readonly action: "signal";
  readonly signal: string | number;
}

export interface IResize extends IInput, ISize {
  readonly action: "resize";
}

export interface IResume {
  readonly action: "resume";
  readonly session: string;
  readonly api_key: string;
  readonly after: number;
}

export interface IClose {
  readonly action: "close";
  readonly session: string;
}

export interface IPing {
  readonly action: "ping";
  readonly id: string;
}

export type ControlFrame = IStdin | IEof | ISignal | IResize;
export type ClientFrame = IExecute | IAuth | ControlFrame | IResume | IClose | IPing;

// Server to client

/** Frames of a run have its id and, in a session that can be resumed, a number. */
interface INumbered {
  readonly id: string;
  readonly n: number | null;
}

/** The run was taken on; `session` and `room` are where. */
export interface IAccepted extends INumbered {
  readonly type: "accepted";
  readonly session: string;
  readonly room: string;
  readonly cost: number;
}

/** A stage of a run begins or ends. */
export interface IStage extends INumbered {
  readonly type: "stage";
  readonly stage: string;
  readonly state: string;
  readonly exit_code: number | null;
  readonly signal: string;
  readonly wall_ms: number | null;
  readonly cpu_ms: number | null;
  readonly is_cached: boolean;
}

/** What was printed, cut anywhere between two characters. */
export interface IOutput extends INumbered {
  readonly type: "stdout" | "stderr";
  readonly data: string;
}

/** Something to be shown that is no text only: representations by MIME type. */
export interface IDisplay extends INumbered {
  readonly type: "display";
  readonly data: Readonly<Record<string, unknown>>;
}

/** The program waits for input. */
export interface IPrompt extends INumbered {
  readonly type: "prompt";
  readonly text: string;
  readonly password: boolean;
}

/** The code is run although a rule of the gateway recognises something in it. */
export interface IWarning extends INumbered {
  readonly type: "warning";
  readonly rule: string;
  readonly message: string;
}

/** The run has ended. What it printed went before. */
export interface IResult extends INumbered {
  readonly type: "result";
  readonly exit_code: number;
  /** Milliseconds. */
  readonly execution_time: number;
  readonly signal: string;
  /** What ended it early: `time`, `oom`, `disk`, `pids`, `stopped`, `gone`; else empty. */
  readonly ended_by: string;
  readonly detail: string;
  /** `lost` when the session's state ended with this run, `new` when it had ended before. */
  readonly state: string;
  readonly cpu_ms: number;
  readonly peak_memory_mib: number;
  readonly cost: number;
}

/** So many frames of a session were produced while the client was away, and are kept no more. */
export interface IGap {
  readonly type: "gap";
  readonly session: string | null;
  readonly missing: number;
  readonly n: number | null;
}

/** The one answer to a request without `stream`. */
export interface IAnswer {
  readonly type: "answer";
  readonly id: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number;
  /** Milliseconds. */
  readonly execution_time: number;
}

/** A frame was refused, or a run was not run. */
export interface IError {
  readonly type: "error";
  readonly id: string | null;
  readonly n: number | null;
  readonly error: string;
  readonly message: string;
  /** Seconds. */
  readonly retry_after: number | null;
  /** The number of the input that was refused. */
  readonly input: number | null;
}

/** A numbered input of a run was taken. */
export interface IAck {
  readonly type: "ack";
  readonly id: string;
  readonly input: number;
}

export interface IAuthenticated {
  readonly type: "authenticated";
  readonly remaining_credits: number | null;
}

/** The session is there; frames after the number that was named follow, up to `n` and beyond. */
export interface IResumed {
  readonly type: "resumed";
  readonly session: string;
  readonly room: string;
  readonly n: number;
  readonly running: readonly string[];
}

export interface IClosed {
  readonly type: "closed";
  readonly session: string;
  readonly reason: string;
  /** The room of the session that has ended; there may be another one of its name. */
  readonly room: string;
}

export interface IPong {
  readonly type: "pong";
  readonly id: string | null;
}

/** A frame of a later version of the protocol, which is passed over. */
export interface IUnknown {
  readonly type: "unknown";
  readonly name: string;
}

/** What a run tells while it runs. */
export type RunFrame = IAccepted | IStage | IOutput | IDisplay | IPrompt | IWarning;
export type ServerFrame =
  | RunFrame
  | IResult
  | IGap
  | IAnswer
  | IError
  | IAck
  | IAuthenticated
  | IResumed
  | IClosed
  | IPong
  | IUnknown;

/** Writes a frame for the wire. Half characters, which no UTF-8 can carry, become U+FFFD. */
export function encodeFrame(frame: ClientFrame): string {
  return JSON.stringify(frame, (_, value: unknown) =>
    typeof value === "string" ? value.replace(/\p{Surrogate}/gu, "\ufffd") : value,
  );
}

/** Reads what a gateway sent; throws a `FrameError` that names what is wrong with it. */
export function parseFrame(text: string): ServerFrame {
  const fields = Fields.parse(text);
  if (!fields.has("type")) {
    if (fields.has("stdout")) {
      return answer(fields);
    }
    throw new FrameError('neither "type" nor "stdout" is there');
  }
  const type = fields.text("type");
  switch (type) {
    case "accepted":
    case "stage":
    case "stdout":
    case "stderr":
    case "display":
    case "prompt":
    case "warning":
    case "result":
      return ofRun(type, fields);
    case "gap":
      return {
        type,
        session: fields.text("session", null),
        missing: fields.integer("missing"),
        n: fields.integer("n", null),
      };
    case "error":
      return {
        type,
        id: fields.text("id", null),
        n: fields.integer("n", null),
        error: fields.text("error"),
        message: fields.text("message", ""),
        retry_after: fields.number("retry_after", null),
        input: fields.integer("input", null),
      };
    case "ack":
      return { type, id: fields.text("id"), input: fields.integer("input") };
    case "authenticated":
      return { type, remaining_credits: fields.integer("remaining_credits", null) };
    case "resumed":
      return {
        type,
        session: fields.text("session"),
        room: fields.text("room", ""),
        n: fields.integer("n"),
        running: fields.texts("running"),
      };
    case "closed":
      return {
        type,
        session: fields.text("session"),
        reason: fields.text("reason", ""),
        room: fields.text("room", ""),
      };
    case "pong":
      return { type, id: fields.text("id", null) };
    default:
      return { type: "unknown", name: type };
  }
}

function ofRun(type: RunFrame["type"] | "result", fields: Fields): RunFrame | IResult {
  const numbered = { id: fields.text("id"), n: fields.integer("n", null) };
  switch (type) {
    case "accepted":
      return {
        type,
        ...numbered,
        session: fields.text("session"),
        room: fields.text("room", ""),
        cost: fields.number("cost", 0),
      };
    case "stage":
      return {
        type,
        ...numbered,
        stage: fields.text("stage"),
        state: fields.text("state"),
        exit_code: fields.integer("exit_code", null),
        signal: signal(fields),
        wall_ms: fields.number("wall_ms", null),
        cpu_ms: fields.number("cpu_ms", null),
        is_cached: fields.flag("is_cached"),
      };
    case "stdout":
    case "stderr":
      return { type, ...numbered, data: fields.text("data") };
    case "display":
      return { type, ...numbered, data: fields.object("data") };
    case "prompt":
      return {
        type,
        ...numbered,
        text: fields.text("text", ""),
        password: fields.flag("password"),
      };
    case "warning":
      return {
        type,
        ...numbered,
        rule: fields.text("rule"),
        message: fields.text("message", ""),
      };
    case "result":
      return {
        type,
        ...numbered,
        exit_code: fields.integer("exit_code"),
        execution_time: fields.number("execution_time", 0),
        signal: signal(fields),
        ended_by: fields.text("ended_by", ""),
        detail: fields.text("detail", ""),
        state: fields.text("state", ""),
        cpu_ms: fields.number("cpu_ms", 0),
        peak_memory_mib: fields.number("peak_memory_mib", 0),
        cost: fields.number("cost", 0),
      };
    default:
      return type satisfies never;
  }
}

function signal(fields: Fields): string {
  return fields.text("signal", "");
}

const MS = { ms: 1, s: 1000, "": 1 };

/** The published page shows a number for sockets and a text such as "87ms" for REST; both are read. */
function answer(fields: Fields): IAnswer {
  return {
    type: "answer",
    id: fields.text("id", null),
    stdout: fields.text("stdout"),
    stderr: fields.text("stderr", ""),
    exit_code: fields.integer("exit_code", 0),
    execution_time: milliseconds(fields),
  };
}

function milliseconds(fields: Fields): number {
  try {
    return fields.number("execution_time", 0);
  } catch {
    const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|)\s*$/.exec(fields.text("execution_time"));
    if (match === null) {
      throw new FrameError('"execution_time" is no time');
    }
    const unit = match[2] === "s" || match[2] === "ms" ? match[2] : "";
    return Number(match[1]) * MS[unit];
  }
}
