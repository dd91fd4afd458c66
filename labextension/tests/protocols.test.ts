/** Frames, addresses and delays; the golden frames are those that the gateway's own tests read. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "@jest/globals";

import { engineUrl } from "../src/address.js";
import { Backoff, DEFAULT_RETRY } from "../src/backoff.js";
import { FrameError, UsageError } from "../src/errors.js";
import { encodeFrame, parseFrame } from "../src/protocols/engine.js";

interface IGolden {
  readonly client: readonly { readonly name: string; readonly frame: Record<string, unknown> }[];
  readonly server: readonly { readonly name: string; readonly frame: Record<string, unknown> }[];
}

const GOLDEN = "../tests/golden/engine_stream.json";

(existsSync(GOLDEN) ? test : test.skip)(
  "every golden frame of a server is read with all that it says",
  () => {
    const { server } = JSON.parse(readFileSync(GOLDEN, "utf-8")) as IGolden;
    assert.ok(server.length > 5);
    for (const { name, frame } of server) {
      const read: object = parseFrame(JSON.stringify(frame));
      // Those are for clients that take every frame for an answer.
      const passedOver =
        frame["type"] === "error" ? ["stdout", "stderr", "exit_code", "execution_time"] : [];
      for (const [key, value] of Object.entries(frame).filter(
        ([key]) => !passedOver.includes(key),
      )) {
        assert.deepEqual(
          Object.entries(read).find(([other]) => other === key)?.[1],
          value,
          `${name}: ${key}`,
        );
      }
    }
  },
);

test("frames without what they need are refused by the name of the field", () => {
  const refused: [string, RegExp][] = [
    ["", /not JSON/],
    ["null", /not a JSON object/],
    ["{}", /neither "type" nor "stdout"/],
    ['{"type":5}', /"type" is not a text/],
    ['{"type":"stdout","data":"x"}', /"id" is missing/],
    ['{"type":"stdout","id":"1","data":5}', /"data" is not a text/],
    ['{"type":"stdout","id":"1","data":"x","n":1.5}', /"n" is not an integer/],
    ['{"type":"result","id":"1"}', /"exit_code" is missing/],
    ['{"type":"resumed","session":"a","n":1,"running":[1]}', /"running" is not a list of texts/],
    ['{"type":"display","id":"1","data":[]}', /"data" is not an object/],
    ['{"type":"prompt","id":"1","password":"yes"}', /"password" is not true or false/],
    ['{"stdout":"","execution_time":"soon"}', /"execution_time" is no time/],
  ];
  for (const [text, message] of refused) {
    assert.throws(
      () => parseFrame(text),
      (error) => error instanceof FrameError && message.test(error.message),
      text,
    );
  }
});

test("any text is a frame or a FrameError", () => {
  const values = [null, true, 0, -1.5, "", "x", [], {}, { data: 1 }, "\ud800"];
  const types = [
    "accepted",
    "stage",
    "stdout",
    "display",
    "prompt",
    "warning",
    "result",
    "gap",
    "error",
  ];
  const fields = [
    "id",
    "n",
    "data",
    "session",
    "stage",
    "state",
    "rule",
    "exit_code",
    "missing",
    "error",
  ];
  for (const type of [...types, "authenticated", "resumed", "closed", "pong", "new"]) {
    for (const value of values) {
      for (const field of fields) {
        const frame = {
          type,
          id: "1",
          ...Object.fromEntries(fields.map((name) => [name, "1"])),
          [field]: value,
        };
        try {
          assert.equal(typeof parseFrame(JSON.stringify(frame)).type, "string");
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error));
        }
      }
    }
  }
});

test("the published answer is read with its time as a number or a text", () => {
  const times: [unknown, number][] = [
    [87, 87],
    ["87ms", 87],
    ["1.5 s", 1500],
    [undefined, 0],
  ];
  for (const [execution_time, expected] of times) {
    const frame = parseFrame(JSON.stringify({ stdout: "hi\n", execution_time }));
    assert.deepEqual(frame, {
      ...{ type: "answer", id: null, stdout: "hi\n", stderr: "", exit_code: 0 },
      execution_time: expected,
    });
  }
});

test("half characters do not go out", () => {
  const text = encodeFrame({ action: "stdin", id: "1", data: "a\ud800b😀" });
  assert.deepEqual(JSON.parse(text), { action: "stdin", id: "1", data: "a\ufffdb😀" });
});

test("addresses are turned into that of the socket", () => {
  const addresses = {
    "https://host/": "wss://host/ws",
    "http://127.0.0.1:8888": "ws://127.0.0.1:8888/ws",
    "host.example": "wss://host.example/ws",
    "wss://host/ws": "wss://host/ws",
    "https://hub/user/ada/lab/tree/x.ipynb?token=1#a": "wss://hub/user/ada/ws",
    "https://host/base": "wss://host/base/ws",
  };
  for (const [address, url] of Object.entries(addresses)) {
    assert.equal(engineUrl(address), url);
  }
  for (const address of ["", "ftp://host", "https://user:secret@host/", "https://"]) {
    assert.throws(() => engineUrl(address), UsageError, address);
  }
});

test("delays are drawn below a bound that doubles", () => {
  const backoff = new Backoff(DEFAULT_RETRY, () => 0.5, 0, 120_000);
  const delays = Array.from({ length: 9 }, () => backoff.nextDelayMs(0));
  assert.deepEqual(delays, [125, 250, 500, 1000, 2000, 4000, 7500, 7500, 7500]);
  assert.equal(backoff.nextDelayMs(119_999), 1);
  assert.equal(backoff.nextDelayMs(120_000), null);
  assert.throws(() => new Backoff({ ...DEFAULT_RETRY, baseMs: 0 }, Math.random, 0, 1), UsageError);
});
