/** How many requests are in flight, and what of their input is known to have arrived. */

import assert from "node:assert/strict";
import { test } from "@jest/globals";

import { UsageError } from "../src/errors.js";
import type { IExecute } from "../src/protocols/engine.js";
import { MAX_CONTROLS, MAX_IN_FLIGHT, MAX_WAITING, Requests } from "../src/protocols/requests.js";

function execute(id: string, stream = true): IExecute {
  return { action: "execute", api_key: "k", language: "bash", code: "", id, stream };
}

function accepted(): Requests {
  const requests = new Requests();
  requests.add(execute("1"));
  requests.framesToSend();
  const request = requests.get("1");
  assert.ok(request);
  request.isAccepted = true;
  return requests;
}

test("no more are in flight than a gateway lets wait", () => {
  const requests = new Requests();
  for (let index = 0; index < MAX_WAITING; index += 1) {
    requests.add(execute(String(index)));
  }
  assert.throws(() => {
    requests.add(execute("one more"));
  }, /1000 runs wait already/);
  assert.equal(requests.framesToSend().length, MAX_IN_FLIGHT);
  assert.equal(requests.framesToSend().length, 0);
  requests.delete("3");
  assert.deepEqual(
    requests.framesToSend().map((frame) => frame.id),
    [String(MAX_IN_FLIGHT)],
  );
});

test("input is bounded, and only streams take it", () => {
  const requests = accepted();
  for (let index = 0; index < MAX_CONTROLS; index += 1) {
    requests.control({ action: "stdin", id: "1", data: "x" });
  }
  assert.throws(() => {
    requests.control({ action: "eof", id: "1" });
  }, /10000 frames of input wait/);
  requests.add(execute("2", false));
  assert.throws(() => {
    requests.control({ action: "eof", id: "2" });
  }, UsageError);
  requests.control({ action: "eof", id: "nobody" });
});
