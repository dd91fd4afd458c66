/** What one connection to the gateway went through since somebody began to look. Pure: clocks are arguments. */

import { Latency } from "./latency.js";
import type { ILink, LinkState } from "./link.js";

const KEPT_CUTS = 50;

export interface ICut {
  /** UTC milliseconds. */
  readonly atMs: number;
  readonly reason: string;
}

export class LinkHistory {
  private latencyNow = new Latency();
  private cutsNow: readonly ICut[] = [];
  private cutCount = 0;
  private missedNow = 0;
  private link: ILink | null = null;
  private stateBefore: LinkState | null = null;
  private pingsSeen = 0;
  private missedSeen = 0;

  /** Of the pings that were seen; a link has its own since it is there. */
  get latency(): Latency {
    return this.latencyNow;
  }

  /** The last times that it was cut, oldest first. */
  get cuts(): readonly ICut[] {
    return this.cutsNow;
  }

  /** How often it was cut. */
  get cutTotal(): number {
    return this.cutCount;
  }

  /** How many events could not be had again after cuts. */
  get missed(): number {
    return this.missedNow;
  }

  /** Looks at the link; what it went through while `isPaused` is passed over. `nowMs` is UTC. */
  observe(link: ILink, nowMs: number, isPaused = false): void {
    if (link !== this.link) {
      this.link = link;
      this.stateBefore = null;
      this.pingsSeen = 0;
      this.missedSeen = 0;
    }
    const { latency, missed, reason, state } = link;
    const fresh = latency.total - this.pingsSeen;
    const wasCut = this.stateBefore === "connected" && state !== "connected";
    this.pingsSeen = latency.total;
    this.stateBefore = state;
    if (!isPaused) {
      for (const ms of fresh > 0 ? latency.recentMs.slice(-fresh) : []) {
        this.latencyNow.add(ms);
      }
      this.missedNow += missed - this.missedSeen;
      if (wasCut) {
        this.cutCount += 1;
        this.cutsNow = [...this.cutsNow, { atMs: nowMs, reason }].slice(-KEPT_CUTS);
      }
    }
    this.missedSeen = missed;
  }

  /** Forgets all that was seen so far. */
  reset(): void {
    this.latencyNow = new Latency();
    this.cutsNow = [];
    this.cutCount = 0;
    this.missedNow = 0;
  }
}
