/** Measures the way to the Engine: a socket of its own, opened when somebody asks, with a ping each second. */

import type { IDisposable } from "@lumino/disposable";

import { Backoff, DEFAULT_RETRY } from "./backoff.js";
import type { ITime, WebSocketFactory } from "./connection.js";
import { Engine } from "./engine.js";
import { messageOf } from "./errors.js";
import { Latency } from "./latency.js";
import type { ILink } from "./link.js";
import { Link } from "./link.js";

export interface IProbeOptions {
  readonly url: string;
  /** Gives what lets one connection in; each needs another. */
  readonly key: () => Promise<string>;
  readonly WebSocket: WebSocketFactory;
  readonly time: ITime;
  readonly random: () => number;
  readonly changed: () => void;
}

const PING_EVERY_MS = 1000;
/** When a connection is lost that lived this long, the back-off starts anew. */
const USEFUL_MS = 10_000;

export class EngineProbe implements IDisposable {
  isDisposed = false;
  private readonly latency = new Latency();
  private readonly linkNow: Link;
  private engine: Engine | null = null;
  private backoff: Backoff | null = null;
  private undoWait: (() => void) | null = null;

  constructor(private readonly options: IProbeOptions) {
    this.linkNow = new Link(this.latency, () => options.time.now(), options.changed);
    this.linkNow.opening();
    void this.live();
  }

  get link(): ILink {
    return this.linkNow;
  }

  /** Ends the connection; idempotent. */
  dispose(): void {
    this.isDisposed = true;
    this.undoWait?.();
    this.engine?.close();
  }

  /** Lives through one connection, and sees to the next. */
  private async live(): Promise<void> {
    const { time } = this.options;
    let openedMs = Infinity;
    try {
      const engine = await this.connect();
      openedMs = time.now();
      await this.measure(engine);
    } catch (error) {
      this.engine = null;
      if (!this.isDisposed) {
        if (time.now() - openedMs >= USEFUL_MS) {
          this.backoff = null;
        }
        this.wait(messageOf(error));
      }
    }
  }

  private async connect(): Promise<Engine> {
    const { key, time, url, WebSocket } = this.options;
    const engine = await Engine.connect(url, {
      apiKey: await key(),
      WebSocket,
      time,
      // Its key would be none any more.
      retry: { giveUpMs: 0, firstMs: 0 },
    });
    this.engine = engine;
    if (this.isDisposed) {
      engine.close();
    } else {
      this.linkNow.connected();
    }
    return engine;
  }

  /** Pings until a ping is not answered, which rejects. */
  private async measure(engine: Engine): Promise<never> {
    for (;;) {
      const latencyMs = await engine.ping();
      this.latency.add(latencyMs);
      this.linkNow.heard();
      this.linkNow.measured();
      await new Promise<void>((resolve) => {
        this.undoWait = this.options.time.after(PING_EVERY_MS, resolve);
      });
    }
  }

  private wait(reason: string): void {
    const { random, time } = this.options;
    this.linkNow.reconnecting(reason);
    this.backoff ??= new Backoff(DEFAULT_RETRY, random, time.now(), Infinity);
    const delayMs = this.backoff.nextDelayMs(time.now()) ?? DEFAULT_RETRY.capMs;
    this.linkNow.waiting(delayMs, reason);
    this.undoWait = time.after(delayMs, () => {
      this.linkNow.opening();
      void this.live();
    });
  }
}
