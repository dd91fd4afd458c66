/** All rooms that this browser may see, as the gateway tells them on one socket. */

import type { ServerConnection } from "@jupyterlab/services";
import { PromiseDelegate } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import { RoomsApi } from "./api.js";
import { Connection } from "./connection.js";
import type { IWorld } from "./dialling.js";
import { dialling } from "./dialling.js";
import { Link } from "./link.js";
import type { IMemory } from "./memory.js";
import type { IListHearing } from "./protocols/room_conversations.js";
import { ListConversation } from "./protocols/room_conversations.js";
import type { IEvent } from "./protocols/room_events.js";
import type { IAccount, IEndedRoom, IRoomModel } from "./protocols/rooms.js";
import { RequestError, socketUrlOf } from "./request.js";
import { Room } from "./room.js";
import type { IRoom, IRoomEvent, IRooms } from "./tokens.js";

/** The server's login is gone; only a page that is loaded anew has another one. */
const FINAL_CODES = new Set([1008, 4001]);
/** A list that was on its way while a room was opened does not have it yet. */
const LIST_LAG_MS = 5000;
/** What is left to pay with is asked for at most this often. */
const ACCOUNT_EVERY_MS = 2000;

export interface IRoomsOptions {
  readonly settings: ServerConnection.ISettings;
  readonly world: IWorld;
  readonly memory: IMemory;
  readonly identity: () => { readonly user: string; readonly color: string };
  readonly complain: (message: string) => void;
}

export class Rooms implements IRooms, IDisposable {
  readonly api: RoomsApi;
  readonly link: Link;
  account: IAccount | null = null;
  ended: readonly IEndedRoom[] = [];
  isDisposed = false;
  private readonly rooms = new Map<string, Room>();
  private readonly addedAtMs = new Map<string, number>();
  private readonly connection: Connection;
  private readonly isReady = new PromiseDelegate<void>();
  private readonly changedSignal = new Signal<this, void>(this);
  private readonly happenedSignal = new Signal<this, IRoomEvent>(this);
  private readonly roomEndedSignal = new Signal<this, IEndedRoom>(this);
  private undoRefresh: (() => void) | null = null;
  private isGuest = false;

  constructor(private readonly options: IRoomsOptions) {
    const { settings, world } = options;
    this.api = new RoomsApi(settings);
    const url = socketUrlOf(settings, "rooms", "events");
    this.connection = new Connection(
      dialling(world, url, FINAL_CODES),
      new ListConversation(this.hearing()),
      {
        connected: () => {
          this.link.connected();
          // The first figure should be there at once, not after some seconds; a cut tells itself.
          this.connection.ping().catch(() => undefined);
        },
        reconnecting: (reason) => this.link.reconnecting(reason),
        waiting: (delayMs, reason) => this.link.waiting(delayMs, reason),
        measured: () => this.link.measured(),
        closed: (error) => this.link.closed(error),
      },
    );
    this.link = new Link(
      this.connection.latency,
      () => world.time.now(),
      () => {
        this.changedSignal.emit();
      },
    );
  }

  get all(): readonly IRoom[] {
    return [...this.rooms.values()];
  }

  get ready(): Promise<void> {
    return this.isReady.promise;
  }

  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  get happened(): ISignal<this, IRoomEvent> {
    return this.happenedSignal;
  }

  get roomEnded(): ISignal<this, IEndedRoom> {
    return this.roomEndedSignal;
  }

  get(id: string): IRoom | undefined {
    return this.rooms.get(id);
  }

  /** Begins to listen. */
  open(): void {
    this.link.opening();
    this.connection.open();
  }

  add(model: IRoomModel): IRoom {
    const room = this.rooms.get(model.id) ?? this.take(model);
    this.addedAtMs.set(model.id, this.options.world.time.now());
    room.update(model);
    room.enter();
    this.refreshSoon();
    return room;
  }

  async join(key: string): Promise<IRoom> {
    const model = await this.api.join(key);
    const known = this.rooms.get(model.id);
    if (known !== undefined && known.role !== model.role) {
      // What is open of it, in here and in JupyterLab, was opened by somebody who may something else.
      this.drop(model.id);
    }
    // The socket was made by somebody without this pass.
    this.connection.reopen();
    return this.add(model);
  }

  async leave(room: IRoom): Promise<void> {
    room.exit();
    await this.api.leave(room.id);
    this.connection.reopen();
  }

  async end<T>(room: IRoom, ending: () => Promise<T>): Promise<T> {
    const wasIn = room.link.state !== "closed";
    room.exit();
    try {
      return await ending();
    } catch (error) {
      if (wasIn) {
        room.enter();
      }
      throw error;
    }
  }

  async refresh(): Promise<void> {
    if (this.isGuest) {
      return;
    }
    try {
      [this.account, this.ended] = await Promise.all([this.api.account(), this.api.endedRooms()]);
    } catch (error) {
      if (!(error instanceof RequestError)) {
        throw error;
      }
      // Who came in by a join key alone has no account; otherwise the next answer will be better.
      this.isGuest = error.status === 401 || error.status === 403;
    }
    this.changedSignal.emit();
  }

  /** Makes the next attempt of every connection now: the network is back, or somebody looks again. */
  hurry(): void {
    this.connection.hurry();
    for (const room of this.rooms.values()) {
      room.hurry();
    }
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.isDisposed = true;
    this.undoRefresh?.();
    this.connection.close();
    for (const room of this.rooms.values()) {
      room.dispose();
    }
    Signal.clearData(this);
  }

  private hearing(): IListHearing {
    return {
      opened: () => {
        this.connection.opened();
      },
      pong: (id) => {
        this.connection.pong(id);
      },
      refused: this.options.complain,
      listed: ({ rooms }) => {
        this.link.heard();
        this.listed(rooms);
      },
      ended: ({ room }) => {
        this.link.heard();
        this.ended = [room, ...this.ended.filter((one) => one.id !== room.id)];
        this.drop(room.id);
        this.changedSignal.emit();
        this.roomEndedSignal.emit(room);
      },
    };
  }

  private listed(models: readonly IRoomModel[]): void {
    const before = this.rooms.size;
    const ids = new Set(models.map((model) => model.id));
    const oldestMs = this.options.world.time.now() - LIST_LAG_MS;
    for (const id of [...this.rooms.keys()]) {
      if (!ids.has(id) && (this.addedAtMs.get(id) ?? -Infinity) < oldestMs) {
        this.drop(id);
      }
    }
    const entered = this.options.memory.entered();
    for (const model of models) {
      const room = this.rooms.get(model.id) ?? this.take(model);
      room.update(model);
      if (entered.has(model.id)) {
        room.enter();
      }
    }
    this.isReady.resolve();
    if (this.account === null) {
      void this.refresh();
    } else if (before !== this.rooms.size) {
      this.refreshSoon();
    }
    this.changedSignal.emit();
  }

  private take(model: IRoomModel): Room {
    const room = new Room({ ...this.options, model });
    this.rooms.set(model.id, room);
    room.changed.connect(this.roomChanged, this);
    room.happened.connect(this.roomHappened, this);
    // The gateway may say on its socket already that it knows no such room.
    room.disposed.connect(({ id }) => {
      this.drop(id);
    });
    return room;
  }

  private drop(id: string): void {
    const room = this.rooms.get(id);
    if (room === undefined) {
      return;
    }
    this.rooms.delete(id);
    this.addedAtMs.delete(id);
    room.dispose();
    this.changedSignal.emit();
  }

  private roomChanged(): void {
    this.changedSignal.emit();
  }

  private roomHappened(room: IRoom, event: IEvent): void {
    if (event.what.event === "run-ended") {
      this.refreshSoon();
    }
    this.happenedSignal.emit({ room, event });
  }

  private refreshSoon(): void {
    this.undoRefresh ??= this.options.world.time.after(ACCOUNT_EVERY_MS, () => {
      this.undoRefresh = null;
      void this.refresh();
    });
  }
}
