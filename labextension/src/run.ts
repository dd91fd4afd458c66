/** One run: what it tells, in order, and what it is told. */

import { ConnectionLostError } from "./errors.js";
import type { Outcome, RunEvent } from "./protocols/conversation.js";
import type { ControlFrame, IResult } from "./protocols/engine.js";

/** How much output of a run waits for somebody who reads it; the oldest beyond is dropped, and a gap says so. */
export const MAX_UNREAD_CHARS = 64 << 20;

/** What an iteration over a run gives: everything that it tells, and at last its result. */
export type StreamEvent = RunEvent | IResult;

export class Run implements AsyncIterable<StreamEvent> {
  /** The end of the run; rejects with an `EngineError` where it was not run, or its end cannot be known. */
  readonly result: Promise<IResult>;

  private readonly unread: StreamEvent[] = [];
  private unreadChars = 0;
  private dropped = 0;
  private outcome: Outcome | null = null;
  private wake: (() => void) | null = null;
  private settle: (outcome: Outcome) => void = () => undefined;

  constructor(
    readonly id: string,
    private readonly send: (frame: ControlFrame) => void,
  ) {
    this.result = new Promise((resolve, reject) => {
      this.settle = (outcome) => {
        if (outcome instanceof Error) {
          reject(outcome);
        } else if (outcome.type === "result") {
          resolve(outcome);
        } else {
          reject(new ConnectionLostError("the gateway answered a stream with a single answer"));
        }
      };
    });
    // Who only iterates learns of the failure there.
    this.result.catch(() => undefined);
  }

  get hasEnded(): boolean {
    return this.outcome !== null;
  }

  /** Gives the program input, exactly as it stands here: the answer to a prompt ends with a newline. */
  stdin(text: string): void {
    this.send({ action: "stdin", id: this.id, data: text });
  }

  /** Ends the program's input. */
  eof(): void {
    this.send({ action: "eof", id: this.id });
  }

  /** Sends a signal, by name ("TERM") or number, to the program and what it has started. */
  signal(signal: string | number = "INT"): void {
    this.send({ action: "signal", id: this.id, signal });
  }

  /** Tells the program the size of its terminal. */
  resize(rows: number, cols: number): void {
    this.send({ action: "resize", id: this.id, rows, cols });
  }

  /**
   * Everything that the run tells, from where the last iteration stopped. Leaving the loop does not end
   * the run. Throws what `result` rejects with, after all that came before it.
   */
  async *[Symbol.asyncIterator](): AsyncIterator<StreamEvent> {
    for (;;) {
      const event = this.next();
      if (event !== undefined) {
        yield event;
      } else if (this.outcome instanceof Error) {
        throw this.outcome;
      } else if (this.outcome !== null) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }

  /** Takes in what the conversation tells. */
  push(event: StreamEvent): void {
    this.unread.push(event);
    this.unreadChars += size(event);
    while (this.unreadChars > MAX_UNREAD_CHARS) {
      const index = this.unread.findIndex((waiting) => size(waiting) > 0);
      const [oldest] = this.unread.splice(index, 1);
      this.unreadChars -= oldest === undefined ? 0 : size(oldest);
      this.dropped += 1;
    }
    this.awake();
  }

  /** Takes in how it ended. */
  end(outcome: Outcome): void {
    if (!(outcome instanceof Error) && outcome.type === "result") {
      this.push(outcome);
    }
    this.outcome = outcome;
    this.settle(outcome);
    this.awake();
  }

  private next(): StreamEvent | undefined {
    if (this.dropped > 0) {
      const missing = this.dropped;
      this.dropped = 0;
      return { type: "gap", session: null, missing, n: null };
    }
    const event = this.unread.shift();
    this.unreadChars -= event === undefined ? 0 : size(event);
    return event;
  }

  private awake(): void {
    this.wake?.();
    this.wake = null;
  }
}

function size(event: StreamEvent): number {
  return event.type === "stdout" || event.type === "stderr" ? event.data.length : 0;
}

/** What a run printed and how it ended, in one object. */
export interface IExecution {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number;
  /** Milliseconds. */
  readonly execution_time: number;
  readonly signal: string;
  readonly ended_by: string;
  readonly cpu_ms: number;
  readonly peak_memory_mib: number;
  /** How many characters more it printed than are kept. */
  readonly omitted_chars: number;
  /** How many frames were lost while the connection was cut. */
  readonly missing_frames: number;
  /** What the gateway's filter said of the code. */
  readonly warnings: readonly string[];
}

/** Reads a run to its end; throws what its iteration throws. */
export async function collect(run: Run, maxChars: number): Promise<IExecution> {
  const output = { stdout: "", stderr: "" };
  const warnings: string[] = [];
  let omitted = 0;
  let missing = 0;
  for await (const event of run) {
    if (event.type === "stdout" || event.type === "stderr") {
      const room = Math.max(0, maxChars - output[event.type].length);
      output[event.type] += event.data.slice(0, room);
      omitted += Math.max(0, event.data.length - room);
    } else if (event.type === "gap") {
      missing += event.missing;
    } else if (event.type === "warning") {
      warnings.push(`${event.rule}: ${event.message}`);
    }
  }
  const { exit_code, execution_time, signal, ended_by, cpu_ms, peak_memory_mib } = await run.result;
  return {
    ...output,
    ...{ exit_code, execution_time, signal, ended_by, cpu_ms, peak_memory_mib },
    ...{ omitted_chars: omitted, missing_frames: missing, warnings },
  };
}
