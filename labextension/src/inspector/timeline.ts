/** What a connection spent its time on: the handshake, the greeting, and the last run. Pure. */

/** What a frame means for the run that it belongs to. */
export type Mark = "hello" | "welcome" | "submit" | "accepted" | "output" | "end" | null;

export type SpanName = "handshake" | "greeting" | "submission" | "silence" | "output";

export interface ISpan {
  readonly name: SpanName;
  /** Since the connection was begun. */
  readonly fromMs: number;
  /** `null` while it lasts. */
  readonly toMs: number | null;
}

interface IRunTimes {
  readonly submitMs: number;
  acceptedMs: number | null;
  outputMs: number | null;
  endMs: number | null;
}

export class Timeline {
  /** A request has no handshake of its own. */
  constructor(private readonly hasHandshake: boolean) {}

  private openMs: number | null = null;
  private helloMs: number | null = null;
  private welcomeMs: number | null = null;
  private closedMs: number | null = null;
  private run: IRunTimes | null = null;

  opened(atMs: number): void {
    this.openMs = atMs;
  }

  /** What was not ended by then never will be. */
  closed(atMs: number): void {
    this.closedMs = atMs;
  }

  mark(mark: Mark, atMs: number): void {
    const { run } = this;
    switch (mark) {
      case "hello":
        this.helloMs ??= atMs;
        break;
      case "welcome":
        this.welcomeMs ??= atMs;
        break;
      case "submit":
        this.run = { submitMs: atMs, acceptedMs: null, outputMs: null, endMs: null };
        break;
      case "accepted":
        if (run !== null) {
          run.acceptedMs ??= atMs;
        }
        break;
      case "output":
        if (run !== null && run.endMs === null) {
          run.acceptedMs ??= atMs;
          run.outputMs ??= atMs;
        }
        break;
      case "end":
        if (run !== null) {
          run.acceptedMs ??= atMs;
          run.endMs ??= atMs;
        }
        break;
      case null:
        break;
      default:
        mark satisfies never;
    }
  }

  get spans(): readonly ISpan[] {
    const { helloMs, openMs, run, welcomeMs } = this;
    const spans: ISpan[] = this.hasHandshake ? [this.span("handshake", 0, openMs)] : [];
    if (helloMs !== null) {
      spans.push(this.span("greeting", helloMs, welcomeMs));
    }
    if (run !== null) {
      const { acceptedMs, endMs, outputMs, submitMs } = run;
      spans.push(this.span("submission", submitMs, acceptedMs));
      if (acceptedMs !== null) {
        spans.push(this.span("silence", acceptedMs, outputMs ?? endMs));
      }
      if (outputMs !== null) {
        spans.push(this.span("output", outputMs, endMs));
      }
    }
    return spans;
  }

  private span(name: SpanName, fromMs: number, toMs: number | null): ISpan {
    return { name, fromMs, toMs: toMs ?? this.closedMs };
  }
}
