/** How a connection to the gateway stands, for people who look at it. */

import type { IConnectionListener } from "./connection.js";
import type { Latency } from "./latency.js";
import { Rate } from "./rate.js";

export type LinkState = "connecting" | "connected" | "waiting" | "closed";

export interface ILink {
  readonly state: LinkState;
  /** Why it is not connected. */
  readonly reason: string;
  /** When the next attempt is made, on the clock of `performance.now()`; `null` while none is planned. */
  readonly retryAtMs: number | null;
  readonly latency: Latency;
  /** Messages that came, and how many each second. */
  readonly messages: Rate;
  /** How many numbered events could not be had again after cuts. */
  readonly missed: number;
}

/** The link of a connection that reports here. */
export class Link implements ILink, IConnectionListener {
  state: LinkState = "closed";
  reason = "";
  retryAtMs: number | null = null;
  missed = 0;
  readonly messages = new Rate();

  constructor(
    readonly latency: Latency,
    private readonly now: () => number,
    private readonly changed: () => void,
  ) {}

  opening(): void {
    this.become("connecting", "");
  }

  connected(): void {
    this.become("connected", "");
  }

  reconnecting(reason: string): void {
    this.become("connecting", reason);
  }

  waiting(delayMs: number, reason: string): void {
    this.become("waiting", reason, this.now() + delayMs);
  }

  measured(): void {
    this.changed();
  }

  closed(error: Error): void {
    this.become("closed", error.message);
  }

  heard(): void {
    this.messages.add(this.now());
  }

  private become(state: LinkState, reason: string, retryAtMs: number | null = null): void {
    this.state = state;
    this.reason = reason;
    this.retryAtMs = retryAtMs;
    this.changed();
  }
}
