/** A clock that stands still until a test moves it. */

import type { ITime } from "../src/connection.js";

export class FakeTime implements ITime {
  private nowMs = 1000;
  private timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  get waiting(): number {
    return this.timers.length;
  }

  /** How long it takes to the next timer; `null` without one. */
  get nextMs(): number | null {
    const times = this.timers.map((timer) => timer.atMs - this.nowMs);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Moves on, and calls what is due on the way, in order. */
  advance(byMs: number): void {
    const endMs = this.nowMs + byMs;
    for (;;) {
      const due = this.timers
        .filter((timer) => timer.atMs <= endMs)
        .sort((one, other) => one.atMs - other.atMs)[0];
      if (due === undefined) {
        break;
      }
      this.timers = this.timers.filter((timer) => timer !== due);
      this.nowMs = due.atMs;
      due.callback();
    }
    this.nowMs = endMs;
  }
}
