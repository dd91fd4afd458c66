/** The gateway's REST routes about rooms, one method each. */

import type { ServerConnection } from "@jupyterlab/services";

import { Fields } from "./protocols/fields.js";
import type {
  IAccount,
  ICellRun,
  IEndedRoom,
  IJoinKey,
  IRoomModel,
  Role,
} from "./protocols/rooms.js";
import {
  parseAccount,
  parseCellRun,
  parseEndedRoom,
  parseJoinKey,
  parseRoom,
} from "./protocols/rooms.js";
import { request, urlOf } from "./request.js";

/** Limits that are asked for; what is left out is the operator's. */
export interface IWantedLimits {
  readonly memory_bytes?: number;
  readonly cpu_cores?: number;
  readonly pids?: number;
  readonly workspace_bytes?: number;
}

export interface INewRoom {
  readonly name?: string;
  /** Starts a kernel at once: its name, or true for the usual one. */
  readonly kernel?: string | true;
  readonly limits?: IWantedLimits;
  readonly network?: boolean;
}

export class RoomsApi {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  async rooms(): Promise<readonly IRoomModel[]> {
    return Fields.list(await this.ask("GET", ["api", "rooms"])).map(parseRoom);
  }

  async create(wanted: INewRoom): Promise<IRoomModel> {
    return this.room("POST", ["api", "rooms"], wanted);
  }

  /** Comes in by a join key; the browser keeps the pass that the gateway answers with. */
  async join(key: string): Promise<IRoomModel> {
    return this.room("POST", ["api", "join"], { join: key });
  }

  /** Gives the pass back. */
  async leave(id: string): Promise<void> {
    await this.ask("DELETE", ["api", "join", id]);
  }

  async rename(id: string, name: string): Promise<void> {
    await this.ask("PATCH", ["api", "rooms", id], { name });
  }

  async stop(id: string): Promise<void> {
    await this.ask("DELETE", ["api", "rooms", id]);
  }

  async pause(id: string): Promise<void> {
    await this.ask("POST", ["api", "rooms", id, "pause"], {});
  }

  async resume(id: string): Promise<void> {
    await this.ask("POST", ["api", "rooms", id, "resume"], {});
  }

  /** Puts the idle stop off. */
  async keep(id: string, seconds: number): Promise<void> {
    await this.ask("POST", ["api", "rooms", id, "keep"], { seconds });
  }

  /** Opens a new room with a copy of the workspace. */
  async fork(id: string, name: string): Promise<IRoomModel> {
    return this.room("POST", ["api", "rooms", id, "fork"], name === "" ? {} : { name });
  }

  /** Opens the workspace of a room, one that has ended as well, in a new one. */
  async restart(id: string, limits: IWantedLimits): Promise<IRoomModel> {
    return this.room("POST", ["api", "rooms", id, "restart"], { limits });
  }

  /** Where the workspace can be downloaded, as a tar archive. */
  snapshotUrl(id: string): string {
    return urlOf(this.settings, "api", "rooms", id, "snapshot");
  }

  async keys(id: string): Promise<readonly IJoinKey[]> {
    const keys = await this.ask("GET", ["api", "rooms", id, "keys"]);
    return Fields.list(keys).map(parseJoinKey);
  }

  async createKey(id: string, role: Role, expiresS: number | null): Promise<IJoinKey> {
    const wanted = expiresS === null ? { role } : { role, expires_s: expiresS };
    return parseJoinKey(Fields.of(await this.ask("POST", ["api", "rooms", id, "keys"], wanted)));
  }

  /** Nobody comes in with it any more, and who did is put out. */
  async revokeKey(id: string, key: string): Promise<void> {
    await this.ask("DELETE", ["api", "rooms", id, "keys", key]);
  }

  /** Gives out a new key of the same role, and revokes the old one. */
  async rotateKey(id: string, key: string): Promise<IJoinKey> {
    const path = ["api", "rooms", id, "keys", key, "rotate"];
    return parseJoinKey(Fields.of(await this.ask("POST", path, {})));
  }

  async changeRole(id: string, member: string, role: Role): Promise<void> {
    await this.ask("PATCH", ["api", "rooms", id, "members", member], { role });
  }

  /** Who ran each cell of a kernel last, the newest at the end. */
  async cellRuns(id: string, kernel: string): Promise<readonly ICellRun[]> {
    const path = ["rooms", id, "api", "kernels", kernel, "authors"];
    return Fields.list(await this.ask("GET", path)).map(parseCellRun);
  }

  /** How the last rooms ended, newest first. */
  async endedRooms(): Promise<readonly IEndedRoom[]> {
    return Fields.list(await this.ask("GET", ["api", "ended-rooms"])).map(parseEndedRoom);
  }

  async account(): Promise<IAccount> {
    return parseAccount(Fields.of(await this.ask("GET", ["api", "account"])));
  }

  private async room(method: "POST", parts: readonly string[], body: unknown): Promise<IRoomModel> {
    return parseRoom(Fields.of(await this.ask(method, parts, body)));
  }

  private async ask(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    parts: readonly string[],
    body?: unknown,
  ): Promise<unknown> {
    return request(this.settings, method, parts, body);
  }
}
