/** Who ran a cell: as the gateway tells it, the newest counts, and who is alone is told nothing. */

import assert from "node:assert/strict";

import { Signal } from "@lumino/signaling";
import { test } from "@jest/globals";

import { CellAuthors } from "../src/cell_authors.js";
import { Fields } from "../src/protocols/fields.js";
import { parseFrame } from "../src/protocols/room_events.js";
import type { ICellRun } from "../src/protocols/rooms.js";
import { parseCellRun, parseRoom } from "../src/protocols/rooms.js";
import type { IRoom, IRoomEvent, IRooms } from "../src/tokens.js";
import { roomJson } from "./room_gateway.js";

const ME = { id: "me", user: "Me", color: "#000000", role: "own" };
const ADA = { id: "ada", user: "Ada", color: "#e11d48", role: "edit" };

class Scene {
  readonly authors: CellAuthors;
  loaded: readonly ICellRun[] = [];
  private readonly room: { -readonly [K in keyof IRoom]?: IRoom[K] } = { id: "a1" };
  private readonly happened = new Signal<this, IRoomEvent>(this);

  constructor() {
    this.put([ME]);
    this.room.self = this.room.model?.members[0] ?? null;
    const api = { cellRuns: () => Promise.resolve(this.loaded) };
    const rooms = { api, happened: this.happened } as unknown as IRooms;
    this.authors = new CellAuthors(rooms, this.room as IRoom, "k");
  }

  put(members: readonly object[]): void {
    this.room.model = parseRoom(Fields.of(roomJson("a1", { members })));
  }

  run(who: typeof ME, cell: string, at: number, kernel = "k"): void {
    const { color, id, user } = who;
    const run = { run: "r", command: "", member: id, user, color, kind: "cell", kernel, cell };
    const event = parseFrame(JSON.stringify({ n: 1, at, event: "run-started", ...run }));
    assert.ok(event.type === "event");
    this.happened.emit({ room: this.room as IRoom, event });
  }

  shown(cell: string): string | null {
    return this.authors.of(cell)?.author.user ?? null;
  }
}

function loaded(who: typeof ME, cell: string, at: number): ICellRun {
  const { color, id, user } = who;
  return parseCellRun(Fields.of({ cell, run: "r", member: id, user, color, at }));
}

test("who is alone is not told that it was them, until somebody comes", () => {
  const scene = new Scene();
  scene.run(ME, "c1", 1);
  assert.equal(scene.shown("c1"), null);
  scene.put([ME, ADA]);
  assert.equal(scene.shown("c1"), "Me");
});

test("the newest run counts, and those of other kernels do not", () => {
  const scene = new Scene();
  scene.run(ADA, "c1", 2);
  scene.run(ME, "c1", 1);
  scene.run(ME, "c2", 3, "another");
  assert.deepEqual([scene.shown("c1"), scene.shown("c2")], ["Ada", null]);
});

test("what was told while the past was asked for is not forgotten", async () => {
  const scene = new Scene();
  scene.loaded = [loaded(ME, "c1", 1), loaded(ADA, "c2", 2)];
  const loading = scene.authors.load();
  scene.run(ADA, "c1", 5);
  scene.run(ME, "c2", 1);
  await loading;
  assert.deepEqual([scene.shown("c1"), scene.shown("c2")], ["Ada", "Ada"]);
  scene.authors.dispose();
  scene.run(ME, "c1", 9);
  assert.equal(scene.shown("c1"), "Ada");
});
