/** All connections of this page to the gateway, as the latency monitor shows them. */

import type { ServerConnection } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { ITime } from "./connection.js";
import { EngineProbe } from "./engine_probe.js";
import type { ILink } from "./link.js";
import { LinkHistory } from "./link_history.js";
import { urlOf } from "./request.js";
import { newTicket } from "./tickets.js";
import type { IRooms } from "./tokens.js";

/** One connection: the list of rooms, a room by its id, or the Engine. */
export interface IWatchedLink {
  readonly id: string;
  readonly kind: "list" | "room" | "engine";
  /** Of a room. */
  readonly name: string;
  readonly link: ILink;
  readonly history: LinkHistory;
}

export class LatencyModel implements IDisposable {
  isDisposed = false;
  private readonly histories = new Map<string, LinkHistory>();
  private readonly changedSignal = new Signal<this, void>(this);
  private probe: EngineProbe | null = null;
  private isPausedNow = false;

  constructor(
    private readonly rooms: IRooms,
    private readonly settings: ServerConnection.ISettings,
    private readonly time: ITime,
  ) {
    rooms.changed.connect(this.look, this);
    this.look();
  }

  /** Something was measured, a link changed, or what is watched did. */
  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  get isPaused(): boolean {
    return this.isPausedNow;
  }

  /** Whether the Engine is measured, too. */
  get isProbing(): boolean {
    return this.probe !== null;
  }

  get nowMs(): number {
    return this.time.now();
  }

  get links(): readonly IWatchedLink[] {
    const { probe, rooms } = this;
    const links: Omit<IWatchedLink, "history">[] = [
      { id: "list", kind: "list", name: "", link: rooms.link },
      ...rooms.all
        .filter((room) => room.self !== null || room.link.state !== "closed")
        .map((room) => ({
          id: `room ${room.id}`,
          kind: "room" as const,
          name: room.name,
          link: room.link,
        })),
      ...(probe === null
        ? []
        : [{ id: "engine", kind: "engine" as const, name: "", link: probe.link }]),
    ];
    return links.map((watched) => ({ ...watched, history: this.history(watched.id) }));
  }

  /** What happens from now on does not count, or counts again. */
  pause(isPaused: boolean): void {
    this.look();
    this.isPausedNow = isPaused;
    this.changedSignal.emit();
  }

  reset(): void {
    this.histories.forEach((history) => {
      history.reset();
    });
    this.changedSignal.emit();
  }

  /** Opens a socket to the Engine and measures it, or lets go of it. */
  measureEngine(isWanted: boolean): void {
    if (isWanted === this.isProbing) {
      return;
    }
    this.probe?.dispose();
    this.histories.delete("engine");
    const { settings, time } = this;
    this.probe = isWanted
      ? new EngineProbe({
          url: urlOf(settings, "ws"),
          key: async () => (await newTicket(settings)).ticket,
          WebSocket: settings.WebSocket,
          time,
          random: Math.random,
          changed: () => {
            this.look();
          },
        })
      : null;
    this.changedSignal.emit();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.isDisposed = true;
    this.probe?.dispose();
    Signal.clearData(this);
  }

  private look(): void {
    const links = this.links;
    const ids = new Set(links.map(({ id }) => id));
    for (const id of [...this.histories.keys()]) {
      if (!ids.has(id)) {
        this.histories.delete(id);
      }
    }
    for (const { history, link } of links) {
      history.observe(link, Date.now(), this.isPausedNow);
    }
    this.changedSignal.emit();
  }

  private history(id: string): LinkHistory {
    const known = this.histories.get(id);
    if (known !== undefined) {
      return known;
    }
    const history = new LinkHistory();
    this.histories.set(id, history);
    return history;
  }
}
