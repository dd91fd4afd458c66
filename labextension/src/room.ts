/** One open room, as this browser has it: the model, and the connection of a member who has entered. */

import type { ServerConnection } from "@jupyterlab/services";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import { Connection } from "./connection.js";
import type { IWorld } from "./dialling.js";
import { dialling } from "./dialling.js";
import { EngineError } from "./errors.js";
import { Latency } from "./latency.js";
import { Link } from "./link.js";
import type { IMemory } from "./memory.js";
import type { IRoomHearing } from "./protocols/room_conversations.js";
import { RoomConversation } from "./protocols/room_conversations.js";
import type { IEvent } from "./protocols/room_events.js";
import type { IMember, IRoomModel, IWhere, Role } from "./protocols/rooms.js";
import { allows } from "./protocols/rooms.js";
import { settingsOfRoom, socketUrlOf } from "./request.js";
import type { IRoom } from "./tokens.js";
import { UsageHistory } from "./usage.js";

/** The room has ended (1000), is unknown (4000), or this member may not be here: see docs/protocols/rooms.md. */
const FINAL_CODES = new Set([1000, 1008, 4000, 4001]);
const ENDED = "closed_1000";
const UNKNOWN = "closed_4000";

export interface IRoomOptions {
  readonly model: IRoomModel;
  readonly settings: ServerConnection.ISettings;
  readonly world: IWorld;
  readonly memory: IMemory;
  /** The name and the colour of the user, when they are needed. */
  readonly identity: () => { readonly user: string; readonly color: string };
  /** Hears what the gateway refuses on the room's socket. */
  readonly complain: (message: string) => void;
}

interface IPresent {
  readonly conversation: RoomConversation;
  readonly connection: Connection;
  readonly link: Link;
}

export class Room implements IRoom {
  readonly serverSettings: ServerConnection.ISettings;
  readonly usage = new UsageHistory();
  hasEnded = false;
  private readonly places = new Map<string, IWhere | null>();
  private readonly changedSignal = new Signal<this, void>(this);
  private readonly happenedSignal = new Signal<this, IEvent>(this);
  private readonly disposedSignal = new Signal<this, void>(this);
  private readonly absent: Link;
  private modelNow: IRoomModel;
  private present: IPresent | null = null;
  private selfNow: IMember | null = null;
  private farewell = "";
  private isGone = false;

  constructor(private readonly options: IRoomOptions) {
    this.modelNow = options.model;
    this.serverSettings = settingsOfRoom(options.settings, options.model.id);
    this.absent = this.makeLink();
  }

  get id(): string {
    return this.modelNow.id;
  }

  get name(): string {
    return this.modelNow.name;
  }

  get model(): IRoomModel {
    return this.modelNow;
  }

  get self(): IMember | null {
    return this.selfNow;
  }

  get role(): Role {
    return this.selfNow?.role ?? this.modelNow.role;
  }

  get link(): Link {
    return this.present?.link ?? this.absent;
  }

  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  get happened(): ISignal<this, IEvent> {
    return this.happenedSignal;
  }

  get disposed(): ISignal<this, void> {
    return this.disposedSignal;
  }

  get isDisposed(): boolean {
    return this.isGone;
  }

  may(role: Role): boolean {
    return allows(this.role, role);
  }

  enter(): void {
    if (this.present !== null || this.isGone) {
      return;
    }
    const { identity, memory, settings, world } = this.options;
    const token = memory.entered().get(this.id) ?? null;
    const conversation = new RoomConversation({ ...identity(), token }, this.hearing());
    let link: Link | null = null;
    const url = socketUrlOf(settings, "rooms", this.id, "events");
    const connection = new Connection(dialling(world, url, FINAL_CODES), conversation, {
      connected: () => link?.connected(),
      reconnecting: (reason) => {
        this.usage.interrupted();
        link?.reconnecting(reason);
      },
      waiting: (delayMs, reason) => link?.waiting(delayMs, reason),
      measured: () => link?.measured(),
      closed: (error) => {
        this.closed(error);
      },
    });
    link = this.makeLink(connection);
    this.present = { conversation, connection, link };
    link.opening();
    connection.open();
  }

  exit(): void {
    this.options.memory.forget(this.id);
    // Nobody has to be told why.
    this.present?.connection.close(new Error(""));
  }

  look(where: IWhere | null): void {
    this.present?.conversation.look(where);
    this.present?.connection.flush();
  }

  /** Makes the next attempt now. */
  hurry(): void {
    this.present?.connection.hurry();
  }

  /** The gateway described the room anew. */
  update(model: IRoomModel): void {
    const members = model.members.map((member) => {
      const where = this.places.get(member.id);
      return where === undefined ? member : { ...member, where };
    });
    this.modelNow = { ...model, members };
    const self = this.selfNow;
    if (self !== null) {
      this.selfNow = members.find((member) => member.id === self.id) ?? self;
    }
    this.changedSignal.emit();
  }

  dispose(): void {
    if (this.isGone) {
      return;
    }
    this.isGone = true;
    this.options.memory.forget(this.id);
    this.present?.connection.close(new Error(""));
    this.disposedSignal.emit();
    Signal.clearData(this);
  }

  private hearing(): IRoomHearing {
    return {
      opened: () => this.present?.connection.opened(),
      pong: (id) => this.present?.connection.pong(id),
      refused: this.options.complain,
      welcomed: ({ member, token, room }) => {
        this.options.memory.remember(this.id, token);
        this.selfNow = member;
        // From here on the news of this socket are newer than those of the list.
        this.places.clear();
        room.members.forEach(({ id, where }) => this.places.set(id, where));
        this.update(room);
      },
      happened: (event) => {
        this.present?.link.heard();
        if (event.what.event === "member-left") {
          this.places.delete(event.what.member);
        }
        this.happenedSignal.emit(event);
      },
      missed: ({ count }) => {
        if (this.present !== null) {
          this.present.link.missed += count;
        }
      },
      used: ({ usage, limits }) => {
        this.present?.link.heard();
        this.usage.add(usage, limits, this.options.world.time.now());
        this.changedSignal.emit();
      },
      looked: ({ member, where }) => {
        this.places.set(member, where);
        this.update(this.modelNow);
      },
      ended: (reason) => {
        this.farewell = reason;
      },
    };
  }

  /** It is over for good: the room ended, this member was put out, or left. */
  private closed(error: Error): void {
    this.present = null;
    this.selfNow = null;
    this.usage.interrupted();
    if (error instanceof EngineError && error.code === UNKNOWN) {
      this.dispose();
      return;
    }
    this.hasEnded = error instanceof EngineError && error.code === ENDED;
    this.absent.closed(this.farewell === "" ? error : new Error(this.farewell));
    this.farewell = "";
  }

  private makeLink(connection: Connection | null = null): Link {
    return new Link(
      connection?.latency ?? new Latency(),
      () => this.options.world.time.now(),
      () => {
        this.changedSignal.emit();
      },
    );
  }
}
