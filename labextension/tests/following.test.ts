/** Who is followed, what is shown of them, and when it is over. */

import assert from "node:assert/strict";

import { Signal } from "@lumino/signaling";
import { test } from "@jest/globals";

import type { FollowingEnd } from "../src/following.js";
import { Following } from "../src/following.js";
import { Fields } from "../src/protocols/fields.js";
import type { IRoomModel, IWhere } from "../src/protocols/rooms.js";
import { parseRoom } from "../src/protocols/rooms.js";
import type { IRoom, IRooms } from "../src/tokens.js";
import { roomJson } from "./room_gateway.js";

const ME = { id: "me", user: "Me", color: "#000000", role: "own" };
const ADA = { id: "ada", user: "Ada", color: "#e11d48", role: "edit" };

/** One room with this user and Ada in it. */
class Scene {
  readonly shown: IWhere[] = [];
  readonly ends: FollowingEnd[] = [];
  readonly errors: unknown[] = [];
  readonly following: Following;
  readonly room: { -readonly [K in keyof IRoom]?: IRoom[K] } = { id: "a1" };
  /** What going somewhere waits for. */
  pause: Promise<void> = Promise.resolve();
  isLost = false;
  private isOpen = true;
  private readonly changed = new Signal<this, void>(this);

  constructor() {
    this.put([ME, ADA]);
    this.room.self = this.model.members[0] ?? null;
    const rooms = {
      get: () => (this.isOpen ? (this.room as IRoom) : undefined),
      changed: this.changed,
    };
    this.following = new Following(
      rooms as unknown as IRooms,
      async (_, where) => {
        this.shown.push(where);
        await this.pause;
        if (this.isLost) {
          throw new Error("no such file");
        }
      },
      (error) => this.errors.push(error),
    );
    this.following.ended.connect((_, [, why]) => this.ends.push(why));
    const ada = this.model.members[1];
    assert.ok(ada);
    this.following.start(this.room as IRoom, ada);
  }

  get model(): IRoomModel {
    const { model } = this.room;
    assert.ok(model);
    return model;
  }

  put(members: readonly object[]): void {
    this.room.model = parseRoom(Fields.of(roomJson("a1", { members })));
    this.changed.emit();
  }

  async look(path: string): Promise<void> {
    this.put([ME, { ...ADA, where: { kind: "file", path } }]);
    await settled();
  }

  leave(): void {
    this.room.self = null;
    this.changed.emit();
  }

  end(): void {
    this.isOpen = false;
    this.changed.emit();
  }
}

/** Lets through what waits for nothing. */
async function settled(): Promise<void> {
  for (let step = 0; step < 10; step += 1) {
    await Promise.resolve();
  }
}

test("what they have in front is shown, each place once", async () => {
  const scene = new Scene();
  await scene.look("a.py");
  await scene.look("a.py");
  scene.put([ME, ADA]);
  await scene.look("b.py");
  assert.deepEqual(
    scene.shown.map(({ path }) => path),
    ["a.py", "b.py"],
  );
  assert.deepEqual(scene.ends, []);
});

test("who hurries is shown where they have come to", async () => {
  const scene = new Scene();
  let arrived = (): void => undefined;
  scene.pause = new Promise((resolve) => {
    arrived = resolve;
  });
  for (const path of ["a.py", "b.py", "c.py"]) {
    await scene.look(path);
  }
  arrived();
  await settled();
  assert.deepEqual(
    scene.shown.map(({ path }) => path),
    ["a.py", "c.py"],
  );
});

test("a place that cannot be shown is told, and the next one is tried", async () => {
  const scene = new Scene();
  scene.isLost = true;
  await scene.look("gone.py");
  scene.isLost = false;
  await scene.look("here.py");
  assert.equal(scene.errors.length, 1);
  assert.equal(scene.shown.length, 2);
});

test("it is over when they, the room or this user go, and nothing is shown then", async () => {
  for (const over of [
    (scene: Scene) => {
      scene.put([ME]);
    },
    (scene: Scene) => {
      scene.leave();
    },
    (scene: Scene) => {
      scene.end();
    },
  ]) {
    const scene = new Scene();
    over(scene);
    assert.deepEqual(scene.ends, ["left"]);
    assert.equal(scene.following.now, null);
    await scene.look("a.py");
    assert.deepEqual(scene.shown, []);
  }
  const scene = new Scene();
  scene.following.stop();
  scene.following.stop();
  assert.deepEqual(scene.ends, ["stopped"]);
});
