/**
 * What is said on the two sockets about rooms, over any number of connections; without I/O and without a clock.
 *
 *     OFFLINE ──connected──► GREETING ──first answer──► OPEN
 *        ▲──────────────────────lost─────────────────────┘
 *
 * A room's conversation says hello, with the token of the member that it was and the last number that it
 * has. What it missed comes after the answer, once and in order; what the gateway does not keep any more is
 * a gap. A number that was there already is passed over.
 */

import { EngineError } from "../errors.js";
import type {
  ClientFrame,
  IEnded,
  IEvent,
  IGap,
  IHello,
  ILooking,
  IRooms,
  IUsageNow,
  IWelcome,
  ServerFrame,
} from "./room_events.js";
import { parseFrame } from "./room_events.js";
import type { IWhere } from "./rooms.js";

type Phase = "offline" | "greeting" | "open" | "closed";

/** Who hears what every conversation hears. */
export interface IHearing {
  opened(): void;
  pong(id: string): void;
  /** Something that was sent is refused; the connection lives. */
  refused(message: string): void;
}

abstract class Listening {
  private phaseNow: Phase = "offline";
  private refusal: EngineError | null = null;
  private received = 0;
  private outgoing: string[] = [];

  constructor(private readonly hearing: IHearing) {}

  get phase(): Phase {
    return this.phaseNow;
  }

  get greetingError(): EngineError | null {
    return this.refusal;
  }

  /** How many messages came, of any kind. */
  get progress(): number {
    return this.received;
  }

  connected(): void {
    this.phaseNow = "greeting";
    this.refusal = null;
    this.outgoing = [];
    this.greet();
  }

  receive(text: string): void {
    const frame = parseFrame(text);
    if (this.phaseNow === "closed") {
      return;
    }
    this.received += 1;
    if (frame.type === "pong") {
      this.hearing.pong(frame.id ?? "");
    } else if (frame.type === "error" && this.phaseNow === "greeting") {
      this.refusal = this.refused(frame.reason, frame.message);
    } else if (frame.type === "error") {
      this.hearing.refused(frame.message);
    } else {
      this.heard(frame);
    }
  }

  lost(): void {
    if (this.phaseNow !== "closed") {
      this.phaseNow = "offline";
    }
  }

  framesToSend(): readonly string[] {
    const frames = this.outgoing;
    this.outgoing = [];
    return frames;
  }

  ping(id: string): void {
    this.send({ type: "ping", id });
  }

  close(): void {
    this.phaseNow = "closed";
  }

  protected greet(): void {
    // The list of rooms comes unasked.
  }

  protected refused(reason: string, message: string): EngineError {
    return new EngineError(reason, message);
  }

  protected abstract heard(frame: ServerFrame): void;

  protected send(frame: ClientFrame): void {
    this.outgoing.push(JSON.stringify(frame));
  }

  protected open(): void {
    if (this.phaseNow === "greeting") {
      this.phaseNow = "open";
      this.hearing.opened();
    }
  }
}

/** Who hears what happens in a room. */
export interface IRoomHearing extends IHearing {
  welcomed(welcome: IWelcome): void;
  happened(event: IEvent): void;
  missed(gap: IGap): void;
  used(usage: IUsageNow): void;
  looked(looking: ILooking): void;
  ended(reason: string): void;
}

/** Who somebody is in a room. */
export interface IIdentity {
  readonly user: string;
  /** `#rrggbb`. */
  readonly color: string;
  /** Of the member that comes back. */
  readonly token: string | null;
}

export class RoomConversation extends Listening {
  private token: string | null;
  private lastNumber: number | null = null;
  private where: IWhere | null = null;

  constructor(
    private readonly identity: IIdentity,
    private readonly room: IRoomHearing,
  ) {
    super(room);
    this.token = identity.token;
  }

  /** Tells the others what this member looks at. */
  look(where: IWhere | null): void {
    if (this.where?.kind === where?.kind && this.where?.path === where?.path) {
      return;
    }
    this.where = where;
    if (this.phase === "open") {
      this.send({ type: "presence", where });
    }
  }

  protected override greet(): void {
    const hello: IHello = {
      type: "hello",
      user: this.identity.user,
      color: this.identity.color,
      ...(this.token === null ? {} : { token: this.token }),
      ...(this.lastNumber === null ? {} : { resume: this.lastNumber }),
    };
    this.send(hello);
  }

  protected override refused(reason: string, message: string): EngineError {
    if (this.lastNumber === null && this.token === null) {
      return super.refused(reason, message);
    }
    // A gateway that does not know the member or the number takes somebody new.
    this.token = null;
    this.lastNumber = null;
    return super.refused("unavailable", message);
  }

  protected override heard(frame: ServerFrame): void {
    switch (frame.type) {
      case "hello":
        this.token = frame.token;
        this.lastNumber ??= frame.number;
        this.open();
        this.room.welcomed(frame);
        if (this.where !== null) {
          this.send({ type: "presence", where: this.where });
        }
        break;
      case "event":
        if (this.lastNumber === null || frame.n > this.lastNumber) {
          this.lastNumber = frame.n;
          this.room.happened(frame);
        }
        break;
      case "gap":
        this.lastNumber = Math.max(this.lastNumber ?? 0, frame.from + frame.count - 1);
        this.room.missed(frame);
        break;
      case "usage":
        this.room.used(frame);
        break;
      case "presence":
        this.room.looked(frame);
        break;
      case "bye":
        this.room.ended(frame.reason);
        break;
      case "rooms":
      case "ended":
      case "pong":
      case "error":
      case "unknown":
        break;
      default:
        frame satisfies never;
    }
  }
}

/** Who hears of all rooms. */
export interface IListHearing extends IHearing {
  listed(rooms: IRooms): void;
  ended(ended: IEnded): void;
}

export class ListConversation extends Listening {
  constructor(private readonly list: IListHearing) {
    super(list);
  }

  protected override heard(frame: ServerFrame): void {
    if (frame.type === "rooms") {
      this.open();
      this.list.listed(frame);
    } else if (frame.type === "ended") {
      this.list.ended(frame);
    }
  }
}
