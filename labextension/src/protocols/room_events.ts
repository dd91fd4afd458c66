/** Frames of the sockets `rooms/ID/events` and `rooms/events`, as docs/protocols/rooms.md describes them. */

import { Fields } from "./fields.js";
import type { IEndedRoom, ILimits, IMember, IRoomModel, IUsage, IWhere, Role } from "./rooms.js";
import {
  parseEndedRoom,
  parseLimits,
  parseMember,
  parseRole,
  parseRoom,
  parseUsage,
  parseWhere,
} from "./rooms.js";

/** Client to server: come in. `token` is that of a member who comes back, `resume` the last number it has. */
export interface IHello {
  readonly type: "hello";
  readonly user?: string;
  readonly color?: string;
  readonly token?: string;
  readonly resume?: number;
}

export interface IPing {
  readonly type: "ping";
  readonly id: string;
}

/** Client to server: what I look at now. */
export interface IPresence {
  readonly type: "presence";
  readonly where: IWhere | null;
}

export type ClientFrame = IHello | IPing | IPresence;

/** You are `member`; `room` is the room as it was at the event `number`. */
export interface IWelcome {
  readonly type: "hello";
  readonly member: IMember;
  readonly token: string;
  readonly number: number;
  readonly room: IRoomModel;
}

export interface IPong {
  readonly type: "pong";
  readonly id: string | null;
}

/** `count` numbers from `from` on are lost. */
export interface IGap {
  readonly type: "gap";
  readonly from: number;
  readonly count: number;
}

export interface IUsageNow {
  readonly type: "usage";
  readonly usage: IUsage;
  readonly limits: ILimits;
}

export interface ILooking {
  readonly type: "presence";
  readonly member: string;
  readonly where: IWhere | null;
}

export interface IRefusal {
  readonly type: "error";
  readonly message: string;
  readonly reason: string;
}

export interface IBye {
  readonly type: "bye";
  readonly reason: string;
}

/** All rooms that you may see. */
export interface IRooms {
  readonly type: "rooms";
  readonly rooms: readonly IRoomModel[];
}

/** A room that you saw has ended, and how. */
export interface IEnded {
  readonly type: "ended";
  readonly room: IEndedRoom;
}

export interface IUnknown {
  readonly type: "unknown";
}

/** What happened in a room. */
export type Happening =
  | {
      readonly event: "member-joined";
      readonly member: string;
      readonly user: string;
      readonly color: string;
      readonly role: Role;
    }
  | { readonly event: "member-left"; readonly member: string; readonly user: string }
  | {
      readonly event: "role";
      readonly member: string;
      readonly user: string;
      readonly role: Role;
      readonly by: string;
    }
  | {
      readonly event: "run-started";
      readonly run: string;
      readonly command: string;
      readonly user: string;
      readonly member: string;
      readonly kind: string;
      readonly kernel: string;
      /** The id of the cell in its notebook; empty where it has none. */
      readonly cell: string;
      readonly color: string;
    }
  | {
      readonly event: "run-ended";
      readonly run: string;
      readonly code: number | null;
      readonly signal: string | null;
      readonly duration_s: number;
      readonly cost: number;
      readonly reason: string;
      readonly kind: string;
      readonly user: string;
    }
  | { readonly event: "output"; readonly run: string; readonly text: string }
  | {
      readonly event: "prompt";
      readonly run: string;
      readonly text: string;
      readonly id: string;
      readonly password: boolean;
    }
  | {
      readonly event: "prompt-answered";
      readonly id: string;
      readonly run: string;
      readonly user: string;
    }
  | { readonly event: "stop"; readonly run: string; readonly step: string }
  | { readonly event: "files"; readonly paths: readonly string[]; readonly user: string }
  | { readonly event: "port"; readonly port: number }
  | { readonly event: "limit"; readonly breach: string; readonly detail: string }
  | { readonly event: "idle"; readonly seconds: number | null }
  | { readonly event: "error"; readonly text: string }
  | {
      readonly event: "post-mortem";
      readonly reason: string;
      readonly cause: string | null;
      readonly breaches: readonly string[];
    }
  /** An event of a later version. */
  | { readonly event: "unknown"; readonly name: string };

/** An event of the room's log: `n` is its number, `at` when it was, in UTC seconds. */
export interface IEvent {
  readonly type: "event";
  readonly n: number;
  readonly at: number;
  readonly what: Happening;
}

export type ServerFrame =
  | IWelcome
  | IPong
  | IGap
  | IUsageNow
  | ILooking
  | IRefusal
  | IBye
  | IRooms
  | IEnded
  | IEvent
  | IUnknown;

/** Reads what a gateway sent; throws a `FrameError` that names what is wrong with it. */
export function parseFrame(text: string): ServerFrame {
  const fields = Fields.parse(text);
  if (fields.has("event")) {
    return {
      type: "event",
      n: fields.integer("n"),
      at: fields.number("at", 0),
      what: parseHappening(fields),
    };
  }
  const type = fields.text("type");
  switch (type) {
    case "hello":
      return {
        type,
        member: parseMember(fields.child("member")),
        token: fields.text("token"),
        number: fields.integer("number"),
        room: parseRoom(fields.child("room")),
      };
    case "pong":
      return { type, id: pingId(fields) };
    case "gap":
      return { type, from: fields.integer("from"), count: fields.integer("count") };
    case "usage":
      return {
        type,
        usage: parseUsage(fields.child("usage")),
        limits: parseLimits(fields.child("limits")),
      };
    case "presence":
      return { type, member: fields.text("member"), where: parseWhere(fields) };
    case "error":
      return { type, message: fields.text("message", ""), reason: fields.text("reason", "") };
    case "bye":
      return { type, reason: fields.text("reason", "") };
    case "rooms":
      return { type, rooms: fields.children("rooms").map(parseRoom) };
    case "ended":
      return { type, room: parseEndedRoom(fields.child("room")) };
    default:
      return { type: "unknown" };
  }
}

/** The id of one of our pings; those of others may be any JSON. */
function pingId(fields: Fields): string | null {
  try {
    return fields.text("id", null);
  } catch {
    return null;
  }
}

function parseHappening(fields: Fields): Happening {
  const event = fields.text("event");
  switch (event) {
    case "member-joined":
      return {
        event,
        ...who(fields),
        color: fields.text("color", ""),
        role: parseRole(fields),
      };
    case "member-left":
      return { event, ...who(fields) };
    case "role":
      return { event, ...who(fields), role: parseRole(fields), by: fields.text("by", "") };
    case "run-started":
      return {
        event,
        ...who(fields),
        run: fields.text("run"),
        command: fields.text("command", ""),
        kind: fields.text("kind", "shell"),
        kernel: fields.text("kernel", ""),
        cell: fields.text("cell", ""),
        color: fields.text("color", ""),
      };
    case "run-ended":
      return {
        event,
        run: fields.text("run"),
        code: fields.integer("code", null),
        signal: fields.text("signal", null),
        duration_s: fields.number("duration_s", 0),
        cost: fields.number("cost", 0),
        reason: fields.text("reason", "exit"),
        kind: fields.text("kind", "shell"),
        user: fields.text("user", ""),
      };
    case "output":
      return { event, run: fields.text("run", ""), text: fields.text("text", "") };
    case "prompt":
      return {
        event,
        run: fields.text("run"),
        text: fields.text("text", ""),
        id: fields.text("id", ""),
        password: fields.flag("password"),
      };
    case "prompt-answered":
      return {
        event,
        id: fields.text("id"),
        run: fields.text("run"),
        user: fields.text("user", ""),
      };
    case "stop":
      return { event, run: fields.text("run"), step: fields.text("step", "") };
    case "files":
      return { event, paths: fields.texts("paths"), user: fields.text("user", "") };
    case "port":
      return { event, port: fields.integer("port") };
    case "limit":
      return { event, breach: fields.text("breach"), detail: fields.text("detail", "") };
    case "idle":
      return { event, seconds: fields.number("seconds", null) };
    case "error":
      return { event, text: fields.text("text", "") };
    case "post-mortem":
      return {
        event,
        reason: fields.text("reason", ""),
        cause: fields.text("cause", null),
        breaches: fields.texts("breaches"),
      };
    default:
      return { event: "unknown", name: event };
  }
}

function who(fields: Fields): { readonly member: string; readonly user: string } {
  return { member: fields.text("member", ""), user: fields.text("user", "") };
}
