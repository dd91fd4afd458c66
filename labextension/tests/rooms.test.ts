/** The rooms of a browser against a gateway in memory: lists, events by number, cuts at any moment. */

import assert from "node:assert/strict";

import { ServerConnection } from "@jupyterlab/services";
import { test } from "@jest/globals";

import type { IEndedRoom } from "../src/protocols/rooms.js";
import { Rooms } from "../src/rooms.js";
import type { IRoom } from "../src/tokens.js";
import { dice } from "./dice.js";
import { endedJson, FakeMemory, FakeRooms } from "./room_gateway.js";
import { FakeTime } from "./time.js";

interface ISetting {
  readonly rooms: Rooms;
  readonly gateway: FakeRooms;
  readonly time: FakeTime;
  readonly memory: FakeMemory;
  readonly complaints: string[];
}

/** Rooms that have opened their list; REST answers that nobody pays here. */
function listening(...ids: readonly string[]): ISetting {
  const gateway = new FakeRooms();
  ids.forEach((id) => {
    gateway.put(id);
  });
  const time = new FakeTime();
  const memory = new FakeMemory();
  const complaints: string[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: "http://gateway.example/base/",
    wsUrl: "ws://gateway.example/base/",
    token: "a token",
    appendToken: true,
    fetch: () => Promise.resolve(new Response('{"message":"no","reason":"x"}', { status: 403 })),
  });
  const rooms = new Rooms({
    settings,
    memory,
    world: { WebSocket: gateway.WebSocket, time, random: dice() },
    identity: () => ({ user: "Ada", color: "#00ff00" }),
    complain: (message) => complaints.push(message),
  });
  rooms.open();
  gateway.accept(null);
  return { rooms, gateway, time, memory, complaints };
}

function entered(id = "a1"): ISetting & { readonly room: IRoom } {
  const setting = listening(id);
  const room = setting.rooms.get(id);
  assert.ok(room);
  room.enter();
  setting.gateway.accept(id);
  return { ...setting, room };
}

/** Lets time pass until the client dials again. */
function redialled({ gateway, time }: ISetting): void {
  const before = gateway.sockets.length;
  for (let step = 0; gateway.sockets.length === before; step += 1) {
    assert.ok(step < 100, "nobody dials");
    time.advance(Math.max(1, time.nextMs ?? 1));
  }
}

test("the list of rooms is asked for below the base URL, with the token", async () => {
  const { gateway, rooms } = listening("a1", "b2");
  await rooms.ready;
  assert.equal(
    gateway.socketOf(null).url,
    "ws://gateway.example/base/embedenv/rooms/events?token=a%20token",
  );
  assert.deepEqual(
    rooms.all.map((room) => room.name),
    ["Room a1", "Room b2"],
  );
  assert.equal(rooms.link.state, "connected");
});

test("JupyterLab's clients find a room at a base URL of its own", () => {
  const { rooms } = listening("a1");
  const settings = rooms.get("a1")?.serverSettings;
  assert.equal(settings?.baseUrl, "http://gateway.example/base/embedenv/rooms/a1/");
  assert.equal(settings.wsUrl, "ws://gateway.example/base/embedenv/rooms/a1/");
  assert.equal(settings.token, "a token");
});

test("a room that is listed no more is disposed, one that was opened just now is not", () => {
  const { gateway, rooms, time } = listening("a1", "b2");
  const gone = rooms.get("a1");
  const model = rooms.get("b2")?.model;
  assert.ok(gone && model);
  const added = rooms.add({ ...model, id: "c3" });
  gateway.rooms.delete("a1");
  gateway.list();
  gateway.socketOf(null).deliver();
  assert.ok(gone.isDisposed);
  assert.ok(!added.isDisposed);
  time.advance(6000);
  gateway.list();
  gateway.socketOf(null).deliver();
  assert.ok(added.isDisposed);
  assert.equal(gateway.socketOf("c3").closedWith, 1000);
});

test("how a room ended is told once, and the room is gone", () => {
  const { gateway, rooms } = listening("a1");
  const told: IEndedRoom[] = [];
  rooms.roomEnded.connect((_, ended) => told.push(ended));
  gateway.tell(null, { type: "ended", room: endedJson("a1", { breaches: ["oom"] }) });
  gateway.socketOf(null).deliver();
  assert.deepEqual(
    told.map(({ breaches, id }) => [id, breaches]),
    [["a1", ["oom"]]],
  );
  assert.equal(rooms.get("a1"), undefined);
  assert.equal(rooms.ended[0]?.peak_memory_bytes, 1 << 20);
});

test("who enters says who they are, and comes back as the same member after a cut", () => {
  const setting = entered();
  const { gateway, memory, room } = setting;
  assert.deepEqual(gateway.hellos, [{ type: "hello", user: "Ada", color: "#00ff00" }]);
  assert.equal(room.self?.id, "me");
  assert.equal(memory.tokens.get("a1"), "token-a1");
  gateway.happen("a1", { event: "port", port: 8000 });
  gateway.socketOf("a1").deliver();
  gateway.socketOf("a1").cut();
  redialled(setting);
  gateway.accept("a1");
  assert.deepEqual(gateway.hellos[1], { ...gateway.hellos[0], token: "token-a1", resume: 1 });
});

test("a page that is loaded anew enters where the tab was", () => {
  const { gateway, memory, rooms } = listening();
  memory.remember("a1", "kept");
  gateway.put("a1");
  gateway.list();
  gateway.socketOf(null).deliver();
  gateway.accept("a1");
  assert.equal(gateway.hellos[0]?.["token"], "kept");
  assert.equal(rooms.get("a1")?.link.state, "connected");
});

test("who leaves is told nothing more, and is not brought back", () => {
  const { gateway, memory, room } = entered();
  room.exit();
  assert.equal(room.self, null);
  assert.equal(room.link.state, "closed");
  assert.equal(gateway.socketOf("a1").closedWith, 1000);
  assert.equal(memory.tokens.size, 0);
  room.enter();
  gateway.accept("a1");
  assert.notEqual(room.self, null);
});

test("who ends a room is out of it before, and in it again where that fails", async () => {
  const { gateway, room, rooms } = entered();
  const wasOut = await rooms.end(room, () => Promise.resolve(room.self === null));
  assert.ok(wasOut);
  assert.equal(room.link.state, "closed");
  room.enter();
  gateway.accept("a1");
  await assert.rejects(
    rooms.end(room, () => Promise.reject(new Error("no"))),
    /^Error: no$/,
  );
  gateway.accept("a1");
  assert.notEqual(room.self, null);
  assert.ok(!room.hasEnded);
});

test("a room whose end is told to its members has ended, one that puts somebody out has not", () => {
  for (const [code, hasEnded] of [
    [1000, true],
    [4001, false],
  ] as const) {
    const { gateway, room } = entered();
    gateway.tell("a1", { type: "bye", reason: "the room has ended: stopped" });
    gateway.socketOf("a1").deliver();
    gateway.socketOf("a1").cut(code, "");
    assert.equal(room.self, null);
    assert.equal(room.hasEnded, hasEnded);
  }
});

test("who is put out learns why, and does not try again", () => {
  const setting = entered();
  const { gateway, room, time } = setting;
  gateway.tell("a1", { type: "bye", reason: "your join key was revoked" });
  gateway.socketOf("a1").deliver();
  gateway.socketOf("a1").cut(4001, "");
  time.advance(60_000);
  assert.equal(room.link.reason, "your join key was revoked");
  assert.equal(room.self, null);
  assert.equal(gateway.sockets.filter((one) => one.url.includes("/a1/")).length, 1);
});

test("a gateway that does not know the member any more gets a new one", () => {
  const setting = entered();
  const { gateway } = setting;
  gateway.happen("a1", { event: "port", port: 1 });
  gateway.socketOf("a1").deliver();
  gateway.socketOf("a1").cut();
  gateway.refusal = { type: "error", reason: "UnknownNumberError", message: "no such number" };
  redialled(setting);
  gateway.accept("a1");
  redialled(setting);
  gateway.accept("a1");
  assert.deepEqual(gateway.hellos.at(-1), gateway.hellos[0]);
});

test("each event comes once and in order, however often the connection is cut", () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const setting = entered();
    const { gateway, room } = setting;
    const random = dice(seed);
    const seen: number[] = [];
    room.happened.connect((_, { what }) => {
      if (what.event === "port") {
        seen.push(what.port);
      }
    });
    for (let port = 1; port <= 200; port += 1) {
      gateway.happen("a1", { event: "port", port });
      if (random() < 0.4) {
        gateway.socketOf("a1").deliver(Math.floor(random() * 5));
      }
      if (random() < 0.1) {
        gateway.socketOf("a1").cut();
        redialled(setting);
        gateway.socketOf("a1").open();
      }
    }
    gateway.socketOf("a1").deliver();
    assert.deepEqual(
      seen,
      Array.from({ length: 200 }, (_, index) => index + 1),
      `seed ${seed}`,
    );
    assert.equal(room.link.missed, 0);
  }
});

test("what the gateway keeps no more is counted as missed, and the rest comes", () => {
  const setting = entered();
  const { gateway, room } = setting;
  gateway.socketOf("a1").cut();
  for (let port = 1; port <= 10; port += 1) {
    gateway.happen("a1", { event: "port", port });
  }
  gateway.forgotten.set("a1", 7);
  const seen: number[] = [];
  room.happened.connect((_, { n }) => seen.push(n));
  redialled(setting);
  gateway.accept("a1");
  assert.equal(room.link.missed, 7);
  assert.deepEqual(seen, [8, 9, 10]);
});

test("what is looked at is told once, and again after a cut", () => {
  const setting = entered();
  const { gateway, room } = setting;
  room.look({ kind: "file", path: "main.py" });
  room.look({ kind: "file", path: "main.py" });
  assert.equal(gateway.presences.length, 1);
  gateway.socketOf("a1").cut();
  redialled(setting);
  gateway.accept("a1");
  gateway.socketOf("a1").deliver();
  assert.deepEqual(gateway.presences[1], gateway.presences[0]);
});

test("where others look is shown until they look elsewhere, lists of rooms in between or not", () => {
  const { gateway, room } = entered();
  const other = { id: "bo", user: "Bo", color: "#112233", role: "run" };
  gateway.put("a1", { members: [other] });
  gateway.list();
  gateway.socketOf(null).deliver();
  const where = { kind: "terminal", path: "1" };
  gateway.tell("a1", { type: "presence", member: "bo", where });
  gateway.socketOf("a1").deliver();
  assert.deepEqual(room.model.members[0]?.where, where);
  gateway.list();
  gateway.socketOf(null).deliver();
  assert.deepEqual(room.model.members[0].where, where);
  gateway.tell("a1", { type: "presence", member: "bo", where: null });
  gateway.socketOf("a1").deliver();
  assert.equal(room.model.members[0].where, null);
});

test("the use of a room is cores since the look before, and not over a cut", () => {
  const setting = entered();
  const { gateway, room, time } = setting;
  const limits = { memory_bytes: 1000, cpu_cores: 2, pids: 10, workspace_bytes: 50 };
  const use = (cpu_s: number): void => {
    const usage = { cpu_s, memory_bytes: 400, memory_peak_bytes: 500, pids: 3, disk_bytes: null };
    gateway.tell("a1", { type: "usage", usage, limits });
    gateway.socketOf("a1").deliver();
  };
  use(10);
  time.advance(2000);
  use(13);
  assert.deepEqual(
    room.usage.samples.map((sample) => sample.cpuCores),
    [null, 1.5],
  );
  assert.equal(room.usage.samples[1]?.diskBytes, null);
  assert.deepEqual(room.usage.limits, limits);
  gateway.socketOf("a1").cut();
  redialled(setting);
  gateway.accept("a1");
  use(100);
  assert.equal(room.usage.samples[2]?.cpuCores, null);
});

test("a link that is lost says when it is tried again, and does not wait when somebody looks", () => {
  const setting = entered();
  const { gateway, rooms, time } = setting;
  gateway.socketOf(null).cut(1006, "gone");
  assert.equal(rooms.link.state, "waiting");
  assert.match(rooms.link.reason, /gone/);
  const retryAtMs = rooms.link.retryAtMs ?? 0;
  assert.ok(retryAtMs >= time.now() && retryAtMs <= time.now() + 250);
  const before = gateway.sockets.length;
  rooms.hurry();
  assert.equal(gateway.sockets.length, before + 1);
  gateway.accept(null);
  assert.equal(rooms.link.state, "connected");
  assert.equal(rooms.link.retryAtMs, null);
});

test("a server that is away for hours is found again", () => {
  const setting = listening("a1");
  const { gateway, rooms, time } = setting;
  gateway.socketOf(null).cut();
  for (let minute = 0; minute < 120; minute += 1) {
    time.advance(60_000);
    gateway.sockets.at(-1)?.cut();
  }
  assert.notEqual(rooms.link.state, "closed");
  redialled(setting);
  gateway.accept(null);
  assert.equal(rooms.link.state, "connected");
});

test("the first ping goes out at once, and then every five seconds", () => {
  const { gateway, rooms, time } = listening("a1");
  gateway.socketOf(null).deliver();
  assert.equal(rooms.link.latency.recentMs.length, 1);
  time.advance(5000);
  gateway.socketOf(null).deliver();
  assert.equal(rooms.link.latency.recentMs.length, 2);
});

test("what the gateway refuses on a living socket is said, and the socket lives", () => {
  const { complaints, gateway, room } = entered();
  gateway.tell("a1", { type: "error", message: "that is no place", reason: "FrameError" });
  gateway.socketOf("a1").deliver();
  assert.deepEqual(complaints, ["that is no place"]);
  assert.equal(room.link.state, "connected");
});

test("nothing is left when the rooms are disposed", () => {
  const { gateway, rooms, time } = entered();
  rooms.dispose();
  assert.ok(gateway.sockets.every((socket) => socket.closedWith !== null));
  assert.equal(time.waiting, 0);
});
