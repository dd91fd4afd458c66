/** How many things happen each second, over the last few. Pure: the clock is an argument. */

const WINDOW_MS = 5000;

export class Rate {
  private times: number[] = [];
  private total = 0;

  add(nowMs: number): void {
    this.total += 1;
    this.times.push(nowMs);
    if (this.times.length > 2000) {
      this.forget(nowMs);
    }
  }

  perSecond(nowMs: number): number {
    this.forget(nowMs);
    return (this.times.length * 1000) / WINDOW_MS;
  }

  /** All that ever happened. */
  get count(): number {
    return this.total;
  }

  private forget(nowMs: number): void {
    const first = this.times.findIndex((time) => time > nowMs - WINDOW_MS);
    this.times = first < 0 ? [] : this.times.slice(first);
  }
}
