/** Frames about rooms; the golden ones are those that the gateway's own tests read. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";

import { test } from "@jest/globals";

import { FrameError } from "../src/errors.js";
import { parseFrame } from "../src/protocols/room_events.js";
import { endedJson, roomJson } from "./room_gateway.js";

type Json = Readonly<Record<string, unknown>>;

interface IGolden {
  readonly server: readonly { readonly name: string; readonly text: string }[];
  readonly events: readonly { readonly name: string; readonly frame: Json }[];
}

const GOLDEN = "../tests/golden/rooms.json";
const golden = existsSync(GOLDEN)
  ? (JSON.parse(readFileSync(GOLDEN, "utf-8")) as IGolden)
  : { server: [], events: [] };

(golden.events.length > 0 ? test : test.skip)(
  "every golden event is read with all that it says",
  () => {
    for (const { name, frame } of golden.events) {
      const read = parseFrame(JSON.stringify(frame));
      assert.ok(read.type === "event", name);
      assert.deepEqual(
        [read.n, read.at, read.what.event],
        [frame["n"], frame["at"], frame["event"]],
      );
      // What we show nobody.
      const unread = new Set(["n", "at", "event", "stream", "cpu_s", "prompt", "code", "signal"]);
      const what: Json = { ...read.what };
      for (const [key, value] of Object.entries(frame).filter(([key]) => key in what)) {
        assert.deepEqual(what[key], value, `${name}: ${key}`);
      }
      const missed = Object.keys(frame).filter((key) => !(key in what) && !unread.has(key));
      const known = name === "post-mortem" ? ["peak_memory_bytes", "duration_s"] : [];
      assert.deepEqual(
        missed.filter((key) => !known.includes(key)),
        [],
        name,
      );
    }
  },
);

(golden.server.length > 0 ? test : test.skip)("every golden frame of a server is read", () => {
  for (const { name, text } of golden.server) {
    // Its rooms are cut down to an id.
    const whole: Json = {
      ...(JSON.parse(text) as Json),
      ...(name === "hello" ? { room: roomJson("r") } : {}),
      ...(name === "rooms" ? { rooms: [roomJson("r")] } : {}),
      ...(name === "ended" ? { room: endedJson("r") } : {}),
    };
    assert.equal(parseFrame(JSON.stringify(whole)).type, whole["type"], name);
  }
});

test("what a later version adds is passed over", () => {
  assert.deepEqual(parseFrame('{"type":"weather"}'), { type: "unknown" });
  const event = parseFrame('{"n":3,"event":"weather","at":1}');
  assert.ok(event.type === "event");
  assert.deepEqual(event.what, { event: "unknown", name: "weather" });
  const where = { kind: "hologram", path: "x" };
  const looking = parseFrame(JSON.stringify({ type: "presence", member: "m", where }));
  assert.ok(looking.type === "presence");
  assert.equal(looking.where, null);
});

test("any text is a frame or a FrameError that names the field", () => {
  const values = [null, true, 0, -1.5, "", "x", [], [1], {}, { id: 1 }];
  const fields = ["n", "at", "member", "role", "run", "paths", "port", "room", "rooms", "number"];
  const names = ["member-joined", "role", "run-started", "run-ended", "files", "port", "idle"];
  const types = ["hello", "gap", "usage", "presence", "bye", "rooms", "ended", "error", "pong"];
  const frames: Json[] = [
    ...names.map((event) => ({ event, n: 1 })),
    ...types.map((type) => ({ type })),
  ];
  let refused = 0;
  for (const frame of frames) {
    for (const field of fields) {
      for (const value of values) {
        try {
          parseFrame(JSON.stringify({ ...frame, [field]: value }));
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error));
          refused += 1;
        }
      }
    }
  }
  assert.ok(refused > 100);
  assert.throws(() => parseFrame('{"event":"port","n":1}'), /"port" is missing/);
  assert.throws(() => parseFrame('{"type":"rooms","rooms":[{"id":"r"}]}'), /"role" is missing/);
});
