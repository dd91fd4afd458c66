/** What is told about rooms: each thing once, and nothing that the user does oneself. */

import assert from "node:assert/strict";

import { nullTranslator } from "@jupyterlab/translation";
import { Signal } from "@lumino/signaling";
import { test } from "@jest/globals";

import { CommandIDs } from "../src/commands.js";
import type { INoticeAction, INoticeBoard } from "../src/notices.js";
import { Notices } from "../src/notices.js";
import { Fields } from "../src/protocols/fields.js";
import type { Happening } from "../src/protocols/room_events.js";
import type { IRoomModel } from "../src/protocols/rooms.js";
import { allows, parseAccount, parseEndedRoom, parseRoom } from "../src/protocols/rooms.js";
import type { IPreferences } from "../src/settings.js";
import { preferences } from "../src/settings.js";
import type { IRoom, IRooms } from "../src/tokens.js";
import { endedJson, roomJson } from "./room_gateway.js";

class Board implements INoticeBoard {
  readonly shown = new Map<string, { message: string; actions: readonly INoticeAction[] }>();
  hidden = false;
  commands = new Set<string>();
  private count = 0;

  show(_: string, message: string, __: unknown, actions: readonly INoticeAction[]): string {
    this.count += 1;
    this.shown.set(String(this.count), { message, actions });
    return String(this.count);
  }

  update(name: string, message: string): void {
    const notice = this.shown.get(name);
    assert.ok(notice);
    notice.message = message;
  }

  dismiss(name: string): void {
    this.shown.delete(name);
  }

  hasCommand(command: string): boolean {
    return this.commands.has(command);
  }

  isHidden(): boolean {
    return this.hidden;
  }

  get messages(): readonly string[] {
    return [...this.shown.values()].map((notice) => notice.message);
  }
}

/** One room that the user is in, and whatever happens to it. */
class Scene {
  readonly board = new Board();
  readonly notices: Notices;
  settings: IPreferences = preferences(null);
  private readonly room: { -readonly [K in keyof IRoom]?: IRoom[K] };
  private readonly rooms: { -readonly [K in keyof IRooms]?: IRooms[K] };
  private readonly signals = {
    changed: new Signal<this, void>(this),
    happened: new Signal<this, unknown>(this),
    roomEnded: new Signal<this, unknown>(this),
  };

  constructor(more: Readonly<Record<string, unknown>> = {}) {
    const me = { id: "me", user: "Ada", color: "#000000", role: "own" };
    const model = parseRoom(Fields.of(roomJson("a1", { name: "Lab", members: [me], ...more })));
    const self = model.members[0] ?? null;
    const may: IRoom["may"] = (role) => allows(model.role, role);
    this.room = { id: "a1", name: "Lab", model, self, may };
    this.rooms = {
      all: [this.room as IRoom],
      get: (id) => (id === "a1" ? (this.room as IRoom) : undefined),
      account: null,
      ended: [],
      ...(this.signals as object),
    };
    const trans = nullTranslator.load("");
    this.notices = new Notices(this.rooms as IRooms, this.board, trans, () => this.settings);
    this.changed();
  }

  changed(): void {
    this.signals.changed.emit();
  }

  happen(what: Happening): void {
    this.signals.happened.emit({ room: this.room, event: { type: "event", n: 1, at: 100, what } });
  }

  update(more: Partial<IRoomModel>): void {
    assert.ok(this.room.model);
    this.room.model = { ...this.room.model, ...more };
    this.changed();
  }

  leaveWith(reason: string, hasEnded = false): void {
    this.room.self = null;
    this.room.hasEnded = hasEnded;
    this.room.link = { reason } as IRoom["link"];
    this.changed();
  }

  lose(): void {
    this.rooms.all = [];
    this.rooms.get = () => undefined;
    this.changed();
  }

  pay(credits: number | null, memory_bytes: number | null = null): void {
    const limits = { memory_bytes, network: false };
    this.rooms.account = parseAccount(Fields.of({ name: "Ada", credits, tier: "ns", limits }));
    this.changed();
  }

  end(more: Readonly<Record<string, unknown>>): void {
    this.signals.roomEnded.emit(parseEndedRoom(Fields.of(endedJson("a1", more))));
  }
}

const BO = { member: "bo", user: "Bo" };
const JOINED: Happening = { event: "member-joined", ...BO, color: "#111111", role: "run" };

test("members who come and go are told, oneself and a new name are not", () => {
  const scene = new Scene();
  scene.happen({ ...JOINED, member: "me", user: "Ada" });
  scene.happen(JOINED);
  scene.happen({ ...JOINED, user: "Bob" });
  scene.happen({ event: "member-left", ...BO });
  scene.happen({ event: "member-left", member: "me", user: "Ada" });
  assert.deepEqual(scene.board.messages, ["Bo is in Lab now.", "Bo has left Lab."]);
});

test("who does not want to hear of members does not", () => {
  const scene = new Scene();
  const { notifications } = scene.settings;
  scene.settings = { ...scene.settings, notifications: { ...notifications, members: false } };
  scene.happen(JOINED);
  scene.happen({ event: "member-left", ...BO });
  assert.deepEqual(scene.board.messages, []);
});

test("an idle stop is counted down in one notice, which goes when the room is kept", () => {
  const scene = new Scene({ idle_stop_at: 1000 });
  scene.notices.tick(800);
  assert.deepEqual(scene.board.messages, []);
  scene.notices.tick(935);
  scene.notices.tick(936);
  assert.equal(scene.board.shown.size, 1);
  const [notice] = scene.board.shown.values();
  assert.match(notice?.message ?? "", /^Lab stops in 1:04/);
  assert.deepEqual(notice?.actions, [
    { label: "Keep for an hour", command: CommandIDs.keepRoom, args: { room: "a1" } },
  ]);
  scene.update({ idle_stop_at: 4600 });
  scene.notices.tick(937);
  assert.deepEqual(scene.board.messages, []);
});

test("who may only look is not offered to keep the room", () => {
  const scene = new Scene({ idle_stop_at: 1000, role: "view" });
  scene.notices.tick(990);
  const [notice] = scene.board.shown.values();
  assert.deepEqual(notice?.actions, []);
});

const RUN = { cell: "", color: "", run: "r1", kind: "shell", kernel: "" };
const ENDED = { ...RUN, event: "run-ended", cost: 0, reason: "exit", user: "Ada" } as const;

test("the end of one's own long run is told when nobody looks", () => {
  const scene = new Scene();
  const run = (member: string, hidden: boolean, duration_s: number, code: number | null): void => {
    scene.board.hidden = hidden;
    scene.happen({ event: "run-started", ...RUN, command: "make\nall", user: "x", member });
    const signal = code === null ? "SIGKILL" : null;
    scene.happen({ ...ENDED, code, signal, duration_s });
  };
  run("me", false, 60, 0);
  run("bo", true, 60, 0);
  run("me", true, 0.1, 0);
  assert.deepEqual(scene.board.messages, []);
  run("me", true, 65, 0);
  run("me", true, 5, 2);
  run("me", true, 5, null);
  assert.deepEqual(scene.board.messages, [
    "Done after 1:05 in Lab: make all",
    "Failed (code 2) after 0:05 in Lab: make all",
    "Failed (SIGKILL) after 0:05 in Lab: make all",
  ]);
});

test("out of memory: more is offered, as far as the operator gives it", () => {
  const oom: Happening = { event: "limit", breach: "oom", detail: "" };
  const offered = (mostMiB: number, more: Readonly<Record<string, unknown>> = {}): unknown => {
    const scene = new Scene(more);
    scene.pay(null, mostMiB * 2 ** 20);
    scene.happen(oom);
    assert.match(scene.board.messages[0] ?? "", /the room's 512 MiB of memory ran out/);
    const [notice] = scene.board.shown.values();
    return notice?.actions.map((action) => [action.command, action.args["memory_bytes"]]);
  };
  assert.deepEqual(offered(2048), [[CommandIDs.restartRoom, String(2 ** 30)]]);
  assert.deepEqual(offered(768), [[CommandIDs.restartRoom, String(768 << 20)]]);
  assert.deepEqual(offered(512), []);
  assert.deepEqual(offered(2048, { role: "edit" }), []);
});

test("a port is told, and can be opened where somebody knows how", () => {
  const scene = new Scene();
  scene.happen({ event: "port", port: 5000 });
  scene.board.commands.add(CommandIDs.openPreview);
  scene.happen({ event: "port", port: 5001 });
  assert.deepEqual(
    [...scene.board.shown.values()].map((notice) => notice.actions.map((action) => action.args)),
    [[], [{ room: "a1", port: "5001" }]],
  );
});

test("low credits are told once, until there are more again", () => {
  const scene = new Scene();
  [100, 19, 18].forEach((credits) => {
    scene.pay(credits);
  });
  assert.deepEqual(scene.board.messages, ["Only 19 credits are left."]);
  [50, 1, null].forEach((credits) => {
    scene.pay(credits);
  });
  assert.equal(scene.board.messages.length, 2);
});

test("who is put out is told why, who leaves is told nothing", () => {
  const left = new Scene();
  left.leaveWith("");
  assert.deepEqual(left.board.messages, []);
  const putOut = new Scene();
  putOut.leaveWith("your join key was revoked");
  assert.deepEqual(putOut.board.messages, ["You are out of Lab: your join key was revoked"]);
});

test("the end of a room is told once, whichever socket tells it first", () => {
  const scene = new Scene();
  scene.leaveWith("the room has ended: stopped", true);
  scene.end({ name: "Lab" });
  scene.changed();
  assert.deepEqual(scene.board.messages, ["Lab has ended: stopped"]);
});

test("the end of a room is told by its own socket where the list only lacks it", () => {
  const scene = new Scene();
  scene.leaveWith("the room has ended: idle", true);
  scene.lose();
  assert.deepEqual(scene.board.messages, ["You are out of Lab: the room has ended: idle"]);
  const lost = new Scene();
  lost.lose();
  assert.deepEqual(lost.board.messages, ["Lab is gone: the server does not know it any more."]);
});

test("the end of a room is told to who was in it, a death to everybody", () => {
  const scene = new Scene();
  scene.end({ name: "Lab" });
  assert.deepEqual(scene.board.messages, ["Lab has ended: stopped"]);
  scene.end({ name: "Lab" });
  assert.equal(scene.board.messages.length, 1);
  scene.end({ name: "Lab", cause: "its memory ran out", breaches: ["oom"] });
  assert.deepEqual(scene.board.messages[1], "Lab has ended: its memory ran out");
});
