/** How long pings take there and back, in milliseconds: the last ones, and over all of them. */

const KEPT = 60;

export class Latency {
  private readonly samples: number[] = [];
  private count = 0;
  private sum = 0;
  private least = Infinity;
  private most = 0;

  add(latencyMs: number): void {
    this.samples.push(latencyMs);
    if (this.samples.length > KEPT) {
      this.samples.shift();
    }
    this.count += 1;
    this.sum += latencyMs;
    this.least = Math.min(this.least, latencyMs);
    this.most = Math.max(this.most, latencyMs);
  }

  /** How many there were, those included that are not kept. */
  get total(): number {
    return this.count;
  }

  /** The last sixty, oldest first. */
  get recentMs(): readonly number[] {
    return [...this.samples];
  }

  /** `null` before the first pong, as are the others. */
  get lastMs(): number | null {
    return this.samples.at(-1) ?? null;
  }

  get averageMs(): number | null {
    return this.count === 0 ? null : this.sum / this.count;
  }

  get minMs(): number | null {
    return this.count === 0 ? null : this.least;
  }

  get maxMs(): number | null {
    return this.count === 0 ? null : this.most;
  }
}
