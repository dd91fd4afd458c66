/** Numbered input: acknowledged, sent again after a cut, never given twice. */

import assert from "node:assert/strict";
import { test } from "@jest/globals";

import type { IEngineOptions, Run, StreamEvent } from "../src/client.js";
import { Engine } from "../src/client.js";
import type { IExecute } from "../src/protocols/engine.js";
import { parseFrame } from "../src/protocols/engine.js";
import { MAX_UNACKNOWLEDGED, Requests } from "../src/protocols/requests.js";
import { FakeGateway } from "./gateway.js";
import { FakeTime } from "./time.js";

const END = { type: "result", exit_code: 0, execution_time: 1 };

class Setting {
  readonly gateway = new FakeGateway();
  private readonly time = new FakeTime();

  async connect(options: Partial<IEngineOptions> = {}): Promise<Engine> {
    const connecting = Engine.connect("https://gateway.example/", {
      apiKey: "key",
      WebSocket: this.gateway.WebSocket,
      time: this.time,
      ...options,
    });
    this.gateway.socket.open();
    this.gateway.socket.deliver();
    return connecting;
  }

  /** The connection breaks, with what was on its way to us, and another one is made. */
  cut(meanwhile: () => void = () => undefined): void {
    this.gateway.socket.cut();
    meanwhile();
    this.time.advance(this.time.nextMs ?? 0);
    this.gateway.socket.open();
    this.gateway.socket.deliver();
  }

  /** A run ends, as the gateway tells it. */
  end(run: Run): void {
    this.gateway.tell(this.session, { ...END, id: run.id });
  }

  get session(): string {
    return String(this.gateway.framesOf("execute")[0]?.["session"]);
  }

  /** What the programs were given. */
  get given(): unknown[] {
    return this.gateway.taken.map((frame) => frame["data"] ?? frame["action"]);
  }
}

async function events(run: Run): Promise<StreamEvent[]> {
  const found: StreamEvent[] = [];
  for await (const event of run) {
    found.push(event);
  }
  return found;
}

function accepted(): Requests {
  const frame: IExecute = {
    action: "execute",
    api_key: "k",
    language: "bash",
    code: "",
    id: "1",
    stream: true,
  };
  const requests = new Requests();
  requests.add(frame);
  requests.control({ action: "eof", id: "1" });
  assert.deepEqual(requests.framesToSend(), [frame]);
  const request = requests.get("1");
  assert.ok(request);
  request.isAccepted = true;
  assert.deepEqual(requests.framesToSend(), [{ action: "eof", id: "1", input: 1 }]);
  return requests;
}

test("what was not acknowledged is sent again in its order and with its number", () => {
  const requests = accepted();
  requests.control({ action: "stdin", id: "1", data: "a" });
  requests.control({ action: "signal", id: "1", signal: 15 });
  assert.equal(requests.framesToSend().length, 2);
  requests.acknowledged("1", 1);
  requests.lost();
  requests.control({ action: "resize", id: "1", rows: 1, cols: 2 });
  assert.deepEqual(requests.framesToSend(), [
    { action: "stdin", id: "1", data: "a", input: 2 },
    { action: "signal", id: "1", signal: 15, input: 3 },
    { action: "resize", id: "1", rows: 1, cols: 2, input: 4 },
  ]);
  requests.acknowledged("1", 2);
  requests.acknowledged("nobody", 3);
  requests.lost();
  assert.deepEqual(
    requests.framesToSend().map((frame) => frame.action),
    ["signal", "resize"],
  );
});

test("only so much input is on its way", () => {
  const requests = accepted();
  for (let index = 0; index < MAX_UNACKNOWLEDGED; index += 1) {
    requests.control({ action: "stdin", id: "1", data: "x" });
  }
  assert.equal(requests.framesToSend().length, MAX_UNACKNOWLEDGED - 1);
  assert.equal(requests.framesToSend().length, 0);
  requests.acknowledged("1", 7);
  assert.equal(requests.framesToSend().length, 1);
});

test("input that arrived before a cut is not given again, and what did not is", async () => {
  const setting = new Setting();
  const { gateway } = setting;
  const run = (await setting.connect()).stream("bash", "cat");
  gateway.socket.deliver();
  run.stdin("acknowledged\n");
  gateway.socket.deliver();
  run.stdin("arrived\n");
  gateway.intercept = (_, frame) => frame["action"] === "stdin";
  run.stdin("lost\n");
  gateway.intercept = () => false;
  setting.cut(() => {
    run.eof();
  });
  assert.deepEqual(setting.given, ["acknowledged\n", "arrived\n", "lost\n", "eof"]);
  setting.end(run);
  gateway.socket.deliver();
  assert.deepEqual(
    (await events(run)).map((event) => event.type),
    ["accepted", "result"],
  );
});

test("nothing is typed twice, wherever a connection is cut", async () => {
  const typed = Array.from("abcdefgh");
  for (let place = 0; place <= typed.length; place += 1) {
    const setting = new Setting();
    const run = (await setting.connect()).stream("bash", "cat");
    setting.gateway.socket.deliver();
    for (const data of typed) {
      run.stdin(data);
    }
    setting.gateway.socket.deliver(place);
    setting.cut();
    setting.cut();
    assert.deepEqual(setting.given, typed);
  }
});

test("a run that ended meanwhile may or may not have got its last input", async () => {
  const setting = new Setting();
  const run = (await setting.connect()).stream("bash", "cat");
  setting.gateway.socket.deliver();
  run.stdin("unknown\n");
  setting.cut(() => {
    setting.end(run);
  });
  const [, unconfirmed, result] = await events(run);
  assert.deepEqual(unconfirmed, {
    type: "unconfirmed",
    frame: { action: "stdin", id: run.id, data: "unknown\n" },
  });
  assert.equal(result?.type, "result");
});

test("a refusal of input is told, and not asked for again", async () => {
  const setting = new Setting();
  const { gateway } = setting;
  const run = (await setting.connect()).stream("bash", "cat");
  gateway.socket.deliver();
  gateway.intercept = (socket, { action, id, input }) => {
    if (action !== "signal") {
      return false;
    }
    gateway.send(socket, { type: "error", error: "bad_request", message: "no signal", id, input });
    return true;
  };
  run.signal("NOSUCH");
  gateway.socket.deliver();
  setting.cut();
  assert.equal(gateway.framesOf("signal").length, 1);
  setting.end(run);
  gateway.socket.deliver();
  const found = await events(run);
  assert.deepEqual(found[1], { type: "refused", code: "bad_request", message: "no signal" });
});

test("the end of a session counts for the room that it was in", async () => {
  const lost: string[] = [];
  const setting = new Setting();
  const { gateway } = setting;
  const engine = await setting.connect({ onSessionLost: (session) => lost.push(session) });
  const run = engine.session("lesson").stream("bash", "cat");
  gateway.socket.deliver();
  const closed = { type: "closed", session: "lesson", reason: "idle" };
  gateway.send(gateway.socket, { ...closed, room: "another" });
  gateway.socket.deliver();
  assert.deepEqual([lost, run.hasEnded], [[], false]);
  gateway.send(gateway.socket, { ...closed, room: "0123" });
  gateway.socket.deliver();
  assert.deepEqual([lost, run.hasEnded], [["lesson"], true]);
});

test("acknowledgements are read", () => {
  assert.deepEqual(parseFrame('{"type":"ack","id":"1","input":3}'), {
    type: "ack",
    id: "1",
    input: 3,
  });
  assert.throws(() => parseFrame('{"type":"ack","id":"1"}'), /"input" is missing/);
});
