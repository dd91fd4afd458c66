/** What a room used lately. Pure: the clock is an argument. */

import type { ILimits, IUsage } from "./protocols/rooms.js";

const KEPT = 60;

/** One look at what a room used; `null` is what its tier cannot tell. */
export interface ISample {
  /** Cores, since the look before. */
  readonly cpuCores: number | null;
  readonly memoryBytes: number | null;
  readonly diskBytes: number | null;
}

export interface IUsageHistory {
  /** Oldest first. */
  readonly samples: readonly ISample[];
  readonly limits: ILimits | null;
}

export class UsageHistory implements IUsageHistory {
  samples: readonly ISample[] = [];
  limits: ILimits | null = null;
  private before: { readonly atMs: number; readonly cpuS: number } | null = null;

  add(usage: IUsage, limits: ILimits, nowMs: number): void {
    this.limits = limits;
    const sample = {
      cpuCores: this.cores(usage.cpu_s, nowMs),
      memoryBytes: usage.memory_bytes,
      diskBytes: usage.disk_bytes,
    };
    this.samples = [...this.samples.slice(1 - KEPT), sample];
  }

  /** Looks are not comparable over a cut: what was used meanwhile is of no one moment. */
  interrupted(): void {
    this.before = null;
  }

  private cores(cpuS: number | null, nowMs: number): number | null {
    const { before } = this;
    this.before = cpuS === null ? null : { atMs: nowMs, cpuS };
    if (before === null || cpuS === null || nowMs <= before.atMs) {
      return null;
    }
    return Math.max(0, ((cpuS - before.cpuS) * 1000) / (nowMs - before.atMs));
  }
}
