/** A gateway in memory that serves the sockets of rooms: a list of rooms, and for each a numbered log. */

import type { WebSocketFactory } from "../src/connection.js";
import type { IMemory } from "../src/memory.js";
import type { IPeer } from "./gateway.js";
import { FakeSocket } from "./gateway.js";

type Json = Readonly<Record<string, unknown>>;

/** A room as the gateway describes it. */
export function roomJson(id: string, more: Json = {}): Json {
  const limits = { memory_bytes: 512 << 20, cpu_cores: 1, pids: 128, workspace_bytes: 256 << 20 };
  return {
    ...{ id, name: `Room ${id}`, space: "api", tier: "ns", created_at: 1, role: "own" },
    ...{ members: [], runs: 0, running: [], kernels: [], terminals: [], ports: [] },
    ...{ is_paused: false, limits, idle_stop_at: null },
    ...more,
  };
}

export function endedJson(id: string, more: Json = {}): Json {
  return {
    ...{ id, name: `Room ${id}`, ended_at: 5, reason: "stopped", cause: null, code: null },
    ...{ signal: null, breaches: [], peak_memory_bytes: 1 << 20, cpu_s: 1.5, duration_s: 60 },
    ...{ limits: { memory_bytes: 512 << 20 }, ...more },
  };
}

export class FakeMemory implements IMemory {
  readonly tokens = new Map<string, string>();

  entered(): ReadonlyMap<string, string> {
    return this.tokens;
  }

  remember(roomId: string, token: string): void {
    this.tokens.set(roomId, token);
  }

  forget(roomId: string): void {
    this.tokens.delete(roomId);
  }
}

export class FakeRooms implements IPeer {
  readonly sockets: FakeSocket[] = [];
  readonly hellos: Json[] = [];
  readonly presences: Json[] = [];
  readonly rooms = new Map<string, Json>();
  /** The numbered events of each room. */
  readonly logs = new Map<string, Json[]>();
  /** How many of the oldest events of each room are kept no more. */
  readonly forgotten = new Map<string, number>();
  /** What a hello is answered with instead, once. */
  refusal: Json | null = null;
  private readonly greeted = new Set<FakeSocket>();

  get WebSocket(): WebSocketFactory {
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const gateway = this;
    return class extends FakeSocket {
      constructor(url: string) {
        super(gateway, url);
        gateway.sockets.push(this);
      }
    };
  }

  /** The last socket to the list, or to a room. */
  socketOf(room: string | null): FakeSocket {
    const part = room === null ? "/rooms/events" : `/rooms/${room}/events`;
    const socket = this.sockets.filter((one) => one.url.includes(part)).at(-1);
    if (socket === undefined) {
      throw new Error(`nobody has connected to ${part}`);
    }
    return socket;
  }

  /** Opens a socket, and lets through what comes at once. */
  accept(room: string | null): FakeSocket {
    const socket = this.socketOf(room);
    socket.open();
    if (room === null) {
      this.list();
    }
    socket.deliver();
    return socket;
  }

  put(id: string, more: Json = {}): void {
    this.rooms.set(id, roomJson(id, more));
    this.logs.set(id, this.logs.get(id) ?? []);
  }

  /** Tells the list anew. */
  list(): void {
    this.tell(null, { type: "rooms", rooms: [...this.rooms.values()] });
  }

  /** Says something that has no number. */
  tell(room: string | null, frame: Json): void {
    this.socketOf(room).onTheWay.push(JSON.stringify(frame));
  }

  /** Something happens in a room. */
  happen(room: string, event: Json): void {
    const log = this.logs.get(room) ?? [];
    const numbered = { n: log.length + 1, at: 100, ...event };
    log.push(numbered);
    this.logs.set(room, log);
    const socket = this.socketOf(room);
    if (this.greeted.has(socket)) {
      socket.onTheWay.push(JSON.stringify(numbered));
    }
  }

  left(socket: FakeSocket): void {
    this.greeted.delete(socket);
  }

  receive(socket: FakeSocket, text: string): void {
    const frame = JSON.parse(text) as Json;
    if (frame["type"] === "ping") {
      socket.onTheWay.push(JSON.stringify({ type: "pong", id: frame["id"] }));
    } else if (frame["type"] === "presence") {
      this.presences.push(frame);
    } else if (frame["type"] === "hello") {
      this.greet(socket, frame);
    }
  }

  private greet(socket: FakeSocket, hello: Json): void {
    this.hellos.push(hello);
    if (this.refusal !== null) {
      socket.onTheWay.push(JSON.stringify(this.refusal));
      this.refusal = null;
      return;
    }
    const id = /rooms\/([^/]+)\/events/.exec(socket.url)?.[1] ?? "";
    const log = this.logs.get(id) ?? [];
    const member = { id: "me", user: hello["user"], color: hello["color"], role: "own" };
    const welcome = { type: "hello", member, token: `token-${id}`, number: log.length };
    const room = { ...roomJson(id), ...this.rooms.get(id), members: [member] };
    socket.onTheWay.push(JSON.stringify({ ...welcome, room }));
    if (hello["resume"] !== undefined) {
      this.resume(socket, log, Number(hello["resume"]), this.forgotten.get(id) ?? 0);
    }
    this.greeted.add(socket);
  }

  private resume(socket: FakeSocket, log: readonly Json[], after: number, lost: number): void {
    if (lost > after) {
      const gap = { type: "gap", from: after + 1, count: lost - after, bytes: 0 };
      socket.onTheWay.push(JSON.stringify(gap));
    }
    for (const event of log.slice(Math.max(after, lost))) {
      socket.onTheWay.push(JSON.stringify(event));
    }
  }
}
