/**
 * When to try again: exponential back-off with full jitter, and when to give up.
 *
 * Full jitter (a uniform draw between nothing and the bound) spreads the clients of a restarted
 * gateway best; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */

import { UsageError } from "./errors.js";

/** How a lost connection is tried again; all times in milliseconds. */
export interface IRetry {
  /** The bound of the first delay; each further one is twice the one before. */
  readonly baseMs: number;
  /** No delay is longer. */
  readonly capMs: number;
  /** So long after the loss of a connection it is given up; 0: at once. */
  readonly giveUpMs: number;
  /** The same for the very first connection: 0 means that a server that is not there is an error at once. */
  readonly firstMs: number;
}

export const DEFAULT_RETRY: IRetry = { baseMs: 250, capMs: 15_000, giveUpMs: 120_000, firstMs: 0 };

/** The attempts of one outage. Pure: the clock and the dice are arguments. */
export class Backoff {
  attempts = 0;
  private readonly deadlineMs: number;

  constructor(
    private readonly retry: IRetry,
    private readonly random: () => number,
    startedMs: number,
    budgetMs: number,
  ) {
    if (!(retry.baseMs > 0 && retry.baseMs <= retry.capMs && budgetMs >= 0)) {
      throw new UsageError(
        "retry needs 0 < baseMs <= capMs, and giveUpMs and firstMs of at least 0",
      );
    }
    this.deadlineMs = startedMs + budgetMs;
  }

  /** Draws the delay before the next attempt; `null` when it is time to give up. */
  nextDelayMs(nowMs: number): number | null {
    const remainingMs = this.deadlineMs - nowMs;
    if (remainingMs <= 0) {
      return null;
    }
    const boundMs = Math.min(this.retry.capMs, this.retry.baseMs * 2 ** this.attempts);
    this.attempts += 1;
    return Math.min(this.random() * boundMs, remainingMs);
  }
}
