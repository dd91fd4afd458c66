/** What can go wrong, as errors that carry data. */

/** The gateway refused a request, or a run was not run; `code` is for programs, `message` for people. */
export class EngineError extends Error {
  override readonly name: string = "EngineError";

  constructor(
    /** As on the wire: `unauthorized`, `blocked`, `unknown_language`, `bad_frame` and others. */
    readonly code: string,
    message: string,
    /** After so many milliseconds it is worth another try; `null` where the gateway names no time. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

/** The connection is gone for good, or what became of a run cannot be known any more. */
export class ConnectionLostError extends Error {
  override readonly name: string = "ConnectionLostError";
}

/** The session ended while the client was away, and with it its state and its runs. */
export class SessionLostError extends Error {
  override readonly name: string = "SessionLostError";

  constructor(readonly session: string) {
    super(`The session "${session}" has ended, and its state with it.`);
  }
}

/** What came from the other side is no frame of the protocol; the message names what is wrong. */
export class FrameError extends Error {
  override readonly name: string = "FrameError";
}

/** Something was asked that the protocol does not allow, such as an empty language. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** What a person is told of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
