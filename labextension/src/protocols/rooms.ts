/** Rooms as the gateway describes them, in answers and in frames; docs/protocols/rooms.md has the table. */

import { FrameError } from "../errors.js";
import type { Fields } from "./fields.js";

/** What a member may do, each more than the one before. */
export const ROLES = ["view", "run", "edit", "own"] as const;
export type Role = (typeof ROLES)[number];

/** What there is in a room to look at. */
export const PLACES = ["file", "notebook", "terminal", "preview", "kernel"] as const;

/** What a member looks at, by their own word: docs/protocols/rooms.md says what `path` is. */
export interface IWhere {
  readonly kind: (typeof PLACES)[number];
  readonly path: string;
}

/** Somebody by name and colour (`#rrggbb`), with the id of the member that they are or were. */
export interface IPerson {
  readonly id: string;
  readonly user: string;
  readonly color: string;
}

export interface IMember extends IPerson {
  readonly role: Role;
  readonly where: IWhere | null;
}

/** A run that goes on. */
export interface IRun {
  readonly run: string;
  readonly user: string;
  /** The id of the member that started it. */
  readonly member: string;
  readonly command: string;
  /** `shell`, `cell` and others. */
  readonly kind: string;
  /** The kernel of a cell. */
  readonly kernel: string;
  /** UTC seconds. */
  readonly started_at: number;
}

export interface IKernel {
  readonly id: string;
  readonly name: string;
  readonly execution_state: string;
}

export interface ITerminal {
  readonly name: string;
  /** Who typed last. */
  readonly typist: IPerson | null;
}

/** The last run of a cell. */
export interface ICellRun {
  /** The id of the cell in its notebook. */
  readonly cell: string;
  /** Whose id is empty where it was a user of the server who was not in the room. */
  readonly author: IPerson;
  /** UTC seconds. */
  readonly at: number;
}

/** What a room may use; `null` is no limit. */
export interface ILimits {
  readonly memory_bytes: number | null;
  readonly cpu_cores: number | null;
  readonly pids: number | null;
  readonly workspace_bytes: number | null;
}

/** What a room uses; `null` is what its tier cannot tell. */
export interface IUsage {
  readonly cpu_s: number | null;
  readonly memory_bytes: number | null;
  readonly memory_peak_bytes: number | null;
  readonly pids: number | null;
  readonly disk_bytes: number | null;
}

export interface IRoomModel {
  readonly id: string;
  readonly name: string;
  readonly tier: string;
  /** UTC seconds. */
  readonly created_at: number;
  /** Of whoever asked. */
  readonly role: Role;
  readonly members: readonly IMember[];
  readonly running: readonly IRun[];
  readonly kernels: readonly IKernel[];
  readonly terminals: readonly ITerminal[];
  readonly ports: readonly number[];
  readonly is_paused: boolean;
  readonly limits: ILimits;
  /** When it is stopped because nobody uses it, in UTC seconds. */
  readonly idle_stop_at: number | null;
}

/** How a room ended. */
export interface IEndedRoom {
  readonly id: string;
  readonly name: string;
  /** UTC seconds. */
  readonly ended_at: number;
  readonly reason: string;
  readonly cause: string | null;
  readonly code: number | null;
  readonly signal: string | null;
  /** Which limits it met: `oom`, `pids`, `disk`, `time`. */
  readonly breaches: readonly string[];
  readonly peak_memory_bytes: number | null;
  readonly cpu_s: number | null;
  readonly duration_s: number | null;
  readonly limits: ILimits;
}

export interface IJoinKey {
  readonly join: string;
  readonly role: Role;
  /** UTC seconds. */
  readonly expires_at: number | null;
}

export interface IAccount {
  readonly name: string;
  /** `null` where nothing is charged. */
  readonly credits: number | null;
  readonly tier: string;
  /** What a new room may have at most. */
  readonly limits: ILimits;
  /** Whether a new room may have a network. */
  readonly network: boolean;
}

export function parseRole(fields: Fields, name = "role"): Role {
  const word = fields.text(name);
  const role = ROLES.find((known) => known === word);
  if (role === undefined) {
    throw new FrameError(`"${name}" is "${word}", not one of ${ROLES.join(", ")}`);
  }
  return role;
}

/** True when `role` allows what `needed` allows. */
export function allows(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

export function parseRoom(fields: Fields): IRoomModel {
  const id = fields.text("id");
  return {
    id,
    name: fields.text("name", id),
    tier: fields.text("tier", ""),
    created_at: fields.number("created_at", 0),
    role: parseRole(fields),
    members: fields.children("members").map(parseMember),
    running: fields.children("running").map(parseRun),
    kernels: fields.children("kernels").map((kernel) => ({
      id: kernel.text("id"),
      name: kernel.text("name", ""),
      execution_state: kernel.text("execution_state", ""),
    })),
    terminals: fields.children("terminals").map((terminal) => ({
      name: terminal.text("name"),
      typist: terminal.has("typist") ? parsePerson(terminal.child("typist")) : null,
    })),
    ports: fields.integers("ports"),
    is_paused: fields.flag("is_paused"),
    limits: parseLimits(fields.child("limits")),
    idle_stop_at: fields.number("idle_stop_at", null),
  };
}

export function parseMember(fields: Fields): IMember {
  return { ...parsePerson(fields), role: parseRole(fields), where: parseWhere(fields) };
}

function parsePerson(fields: Fields, id = "id"): IPerson {
  return {
    id: fields.text(id),
    user: fields.text("user", ""),
    color: fields.text("color", ""),
  };
}

export function parseCellRun(fields: Fields): ICellRun {
  return {
    cell: fields.text("cell"),
    author: parsePerson(fields, "member"),
    at: fields.number("at", 0),
  };
}

export function parseWhere(fields: Fields): IWhere | null {
  if (!fields.has("where")) {
    return null;
  }
  const where = fields.child("where");
  const kind = PLACES.find((known) => known === where.text("kind"));
  // A later version may name more places than a program of this one can go to.
  return kind === undefined ? null : { kind, path: where.text("path", "") };
}

function parseRun(fields: Fields): IRun {
  return {
    run: fields.text("run"),
    user: fields.text("user", ""),
    member: fields.text("member", ""),
    command: fields.text("command", ""),
    kind: fields.text("kind", "shell"),
    kernel: fields.text("kernel", ""),
    started_at: fields.number("started_at", 0),
  };
}

export function parseLimits(fields: Fields): ILimits {
  return {
    memory_bytes: fields.number("memory_bytes", null),
    cpu_cores: fields.number("cpu_cores", null),
    pids: fields.number("pids", null),
    workspace_bytes: fields.number("workspace_bytes", null),
  };
}

export function parseUsage(fields: Fields): IUsage {
  return {
    cpu_s: fields.number("cpu_s", null),
    memory_bytes: fields.number("memory_bytes", null),
    memory_peak_bytes: fields.number("memory_peak_bytes", null),
    pids: fields.number("pids", null),
    disk_bytes: fields.number("disk_bytes", null),
  };
}

export function parseEndedRoom(fields: Fields): IEndedRoom {
  const id = fields.text("id");
  return {
    id,
    name: fields.text("name", id),
    ended_at: fields.number("ended_at", 0),
    reason: fields.text("reason", ""),
    cause: fields.text("cause", null),
    code: fields.integer("code", null),
    signal: fields.text("signal", null),
    breaches: fields.texts("breaches"),
    peak_memory_bytes: fields.number("peak_memory_bytes", null),
    cpu_s: fields.number("cpu_s", null),
    duration_s: fields.number("duration_s", null),
    limits: parseLimits(fields.child("limits")),
  };
}

export function parseJoinKey(fields: Fields): IJoinKey {
  return {
    join: fields.text("join"),
    role: parseRole(fields),
    expires_at: fields.number("expires_at", null),
  };
}

export function parseAccount(fields: Fields): IAccount {
  return {
    name: fields.text("name", ""),
    credits: fields.number("credits", null),
    tier: fields.text("tier", ""),
    limits: parseLimits(fields.child("limits")),
    network: fields.child("limits").flag("network"),
  };
}
