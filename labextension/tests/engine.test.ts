/** The client against a gateway in memory: runs, cuts at any moment, and what is told of them. */

import assert from "node:assert/strict";
import { test } from "@jest/globals";

import type { IEngineOptions, IExecution, Run, StreamEvent } from "../src/client.js";
import { ConnectionLostError, Engine, EngineError, SessionLostError } from "../src/client.js";
import { dice } from "./dice.js";
import { FakeGateway } from "./gateway.js";
import { FakeTime } from "./time.js";

interface ISetting {
  readonly engine: Engine;
  readonly gateway: FakeGateway;
  readonly time: FakeTime;
  readonly states: string[];
}

async function connected(options: Partial<IEngineOptions> = {}): Promise<ISetting> {
  const gateway = new FakeGateway();
  const time = new FakeTime();
  const states: string[] = [];
  const connecting = Engine.connect("https://gateway.example/", {
    apiKey: "key",
    WebSocket: gateway.WebSocket,
    time,
    random: dice(),
    onState: (state) => states.push(state),
    ...options,
  });
  gateway.socket.open();
  gateway.socket.deliver();
  return { engine: await connecting, gateway, time, states };
}

function reconnect({ gateway, time }: Pick<ISetting, "gateway" | "time">): void {
  const before = gateway.sockets.length;
  time.advance(time.nextMs ?? 0);
  assert.equal(gateway.sockets.length, before + 1);
  gateway.socket.open();
}

async function events(run: Run): Promise<StreamEvent[]> {
  const found: StreamEvent[] = [];
  for await (const event of run) {
    found.push(event);
  }
  return found;
}

function sessionOf(gateway: FakeGateway): string {
  return String(gateway.framesOf("execute")[0]?.["session"]);
}

function output(found: readonly StreamEvent[]): string {
  return found.map((event) => (event.type === "stdout" ? event.data : "")).join("");
}

const END = { type: "result", exit_code: 0, execution_time: 5 };

test("code is executed, and the answer has all that it printed", async () => {
  const { engine, gateway } = await connected();
  const executing = engine.execute("python", "print(1)", { args: ["-v"], timeout: 2 });
  const session = sessionOf(gateway);
  const [execute] = gateway.framesOf("execute");
  assert.deepEqual(
    { ...execute, id: "", session: "" },
    {
      ...{ action: "execute", language: "python", code: "print(1)", args: ["-v"], timeout: 2 },
      ...{ api_key: "key", stream: true, stdin: "", id: "", session: "" },
    },
  );
  const id = String(execute?.["id"]);
  gateway.tell(session, { type: "warning", id, rule: "fork-bomb", message: "it forks" });
  gateway.tell(session, { type: "stdout", id, data: "1" });
  gateway.tell(session, { type: "stderr", id, data: "oh" });
  gateway.tell(session, { type: "stdout", id, data: "2\n" });
  gateway.tell(session, { ...END, id, peak_memory_mib: 3.5 });
  gateway.socket.deliver();
  const expected: IExecution = {
    ...{ stdout: "12\n", stderr: "oh", exit_code: 0, execution_time: 5, signal: "", ended_by: "" },
    ...{ cpu_ms: 0, peak_memory_mib: 3.5, omitted_chars: 0, missing_frames: 0 },
    warnings: ["fork-bomb: it forks"],
  };
  assert.deepEqual(await executing, expected);
});

test("output beyond what is kept is counted", async () => {
  const { engine, gateway } = await connected();
  const executing = engine.execute("bash", "yes", { maxChars: 3 });
  const id = String(gateway.framesOf("execute")[0]?.["id"]);
  gateway.tell(sessionOf(gateway), { type: "stdout", id, data: "ab" });
  gateway.tell(sessionOf(gateway), { type: "stdout", id, data: "cdef" });
  gateway.tell(sessionOf(gateway), { ...END, id });
  gateway.socket.deliver();
  const { stdout, omitted_chars } = await executing;
  assert.deepEqual([stdout, omitted_chars], ["abc", 3]);
});

test("events come as they are told, and a prompt is answered", async () => {
  const { engine, gateway } = await connected();
  const run = engine.stream("python", "input('name? ')");
  const session = sessionOf(gateway);
  run.stdin("early\n");
  assert.equal(gateway.framesOf("stdin").length, 0, "nobody is there yet who would take it");
  gateway.socket.deliver();
  assert.deepEqual(gateway.framesOf("stdin")[0]?.["data"], "early\n");
  gateway.tell(session, { type: "prompt", id: run.id, text: "name? " });
  gateway.socket.deliver();
  for await (const event of run) {
    if (event.type === "prompt") {
      assert.equal(event.text, "name? ");
      run.stdin("Ada\n");
      run.eof();
      run.signal(2);
      run.resize(40, 120);
      const sent = gateway.received.slice(-4).map((frame) => frame["action"]);
      assert.deepEqual(sent, ["stdin", "eof", "signal", "resize"]);
      gateway.tell(session, { ...END, id: run.id, signal: "SIGINT", exit_code: 130 });
      gateway.socket.deliver();
    }
  }
  assert.equal((await run.result).signal, "SIGINT");
  assert.ok(run.hasEnded);
});

test("a refused run throws where it is iterated and where its result is awaited", async () => {
  const { engine, gateway } = await connected();
  const run = engine.stream("bash", ":(){ :|:& };:");
  gateway.socket.onTheWay.length = 0;
  const message = "This code starts processes without an end.";
  gateway.send(gateway.socket, {
    type: "error",
    id: run.id,
    error: "blocked",
    message,
    retry_after: 2,
  });
  gateway.socket.deliver();
  const isBlocked = (error: unknown): boolean =>
    error instanceof EngineError && error.code === "blocked" && error.retryAfterMs === 2000;
  await assert.rejects(run.result, isBlocked);
  await assert.rejects(events(run), isBlocked);
});

test("a refused input does not end the run", async () => {
  const { engine, gateway } = await connected();
  const run = engine.stream("bash", "read x");
  gateway.socket.deliver();
  gateway.send(gateway.socket, {
    type: "error",
    id: run.id,
    error: "busy",
    message: "no input now",
  });
  gateway.tell(sessionOf(gateway), { ...END, id: run.id });
  gateway.socket.deliver();
  const types = (await events(run)).map((event) => event.type);
  assert.deepEqual(types, ["accepted", "refused", "result"]);
});

test("a key that is nobody's is an error of the connection", async () => {
  const gateway = new FakeGateway();
  gateway.intercept = (socket) => {
    gateway.send(socket, { type: "error", error: "unauthorized", message: "nobody's key" });
    return true;
  };
  const connecting = Engine.connect("wss://gateway.example/ws", {
    apiKey: "wrong",
    WebSocket: gateway.WebSocket,
    time: new FakeTime(),
  });
  gateway.socket.open();
  gateway.socket.deliver();
  await assert.rejects(
    connecting,
    (error) => error instanceof EngineError && error.code === "unauthorized",
  );
  assert.equal(gateway.socket.closedWith, 1000);
});

test("a gateway that is not there is an error at once, or after the time that was asked for", async () => {
  for (const [firstMs, attempts] of [
    [0, 1],
    [5000, 5],
  ] as const) {
    const gateway = new FakeGateway();
    const time = new FakeTime();
    const connecting = Engine.connect("wss://gateway.example/ws", {
      apiKey: "key",
      WebSocket: gateway.WebSocket,
      time,
      retry: { firstMs },
      random: () => 1,
    });
    gateway.socket.cut();
    while (time.waiting > 0) {
      reconnect({ gateway, time });
      gateway.socket.cut();
    }
    await assert.rejects(connecting, ConnectionLostError);
    // 0.25 + 0.5 + 1 + 2 s, and what is left to 5 s.
    assert.equal(gateway.sockets.length, attempts + (firstMs > 0 ? 1 : 0));
  }
});

test("a cut between any two frames loses nothing and doubles nothing", async () => {
  const pieces = Array.from("abcdefghij");
  for (let place = 0; place <= pieces.length + 2; place += 1) {
    const setting = await connected();
    const { engine, gateway } = setting;
    const run = engine.stream("python", "…");
    const session = sessionOf(gateway);
    for (const data of pieces) {
      gateway.tell(session, { type: "stdout", id: run.id, data });
    }
    gateway.socket.deliver(place);
    gateway.socket.cut();
    gateway.tell(session, { type: "stdout", id: run.id, data: "!" });
    gateway.tell(session, { ...END, id: run.id });
    reconnect(setting);
    gateway.socket.deliver();
    const found = await events(run);
    assert.equal(output(found), "abcdefghij!");
    assert.equal(found.filter((event) => event.type === "accepted").length, 1);
    assert.equal(gateway.begun.get(run.id), 1);
    assert.deepEqual(setting.states, ["connected", "reconnecting", "connected"]);
  }
});

test("many runs in several sessions survive many cuts", async () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const random = dice(seed);
    const setting = await connected({ retry: { giveUpMs: 1e9 } });
    const { engine, gateway } = setting;
    const sessions = ["a", "b", "c"];
    const runs: { run: Run; session: string; said: string }[] = [];
    for (let step = 0; step < 120; step += 1) {
      const dice = random();
      const one = runs[Math.floor(random() * runs.length)];
      if (dice < 0.1 || one === undefined) {
        const session = sessions[Math.floor(random() * sessions.length)] ?? "a";
        runs.push({ run: engine.session(session).stream("bash", "…"), session, said: "" });
      } else if (dice < 0.5 && gateway.running.get(one.session)?.has(one.run.id)) {
        one.said += `${step} `;
        gateway.tell(one.session, { type: "stdout", id: one.run.id, data: `${step} ` });
      } else if (dice < 0.6) {
        gateway.socket.cut();
        reconnect(setting);
      } else {
        gateway.socket.deliver(Math.floor(random() * 4));
      }
    }
    gateway.socket.deliver();
    for (const { run, session } of runs) {
      gateway.tell(session, { ...END, id: run.id });
    }
    gateway.socket.deliver();
    for (const { run, said } of runs) {
      assert.equal(output(await events(run)), said);
      assert.equal(gateway.begun.get(run.id), 1);
    }
  }
});

test("a request that the gateway never got is sent again, and one that it got is not", async () => {
  const setting = await connected();
  const { engine, gateway } = setting;
  gateway.intercept = (_, frame) => frame["action"] === "execute";
  const run = engine.session("lesson").stream("python", "1");
  gateway.socket.cut();
  gateway.intercept = () => false;
  reconnect(setting);
  gateway.socket.deliver();
  assert.equal(gateway.begun.get(run.id), 1);
  assert.deepEqual(
    gateway.framesOf("resume").map((frame) => [frame["session"], frame["after"]]),
    [["lesson", 0]],
  );
});

test("frames that the gateway keeps no more are a gap", async () => {
  const setting = await connected();
  const { engine, gateway } = setting;
  const run = engine.stream("python", "…");
  gateway.socket.deliver();
  const session = sessionOf(gateway);
  gateway.socket.cut();
  for (const data of "abcd") {
    gateway.tell(session, { type: "stdout", id: run.id, data });
  }
  gateway.forget(session, 3);
  gateway.tell(session, { ...END, id: run.id });
  reconnect(setting);
  gateway.socket.deliver();
  const found = await events(run);
  assert.deepEqual(
    found.map((event) => (event.type === "gap" ? event.missing : event.type)),
    ["accepted", 2, "stdout", "stdout", "result"],
  );
});

test("a run whose end is kept no more ends with an error", async () => {
  const setting = await connected();
  const { engine, gateway } = setting;
  const run = engine.stream("python", "…");
  gateway.socket.deliver();
  const session = sessionOf(gateway);
  gateway.socket.cut();
  gateway.tell(session, { ...END, id: run.id });
  gateway.tell(session, { type: "stdout", id: "another client's", data: "x" });
  gateway.forget(session, 2);
  reconnect(setting);
  gateway.socket.deliver();
  await assert.rejects(run.result, ConnectionLostError);
});

test("a session that is gone is told, and its runs end", async () => {
  const lost: string[] = [];
  const setting = await connected({ onSessionLost: (session) => lost.push(session) });
  const { engine, gateway } = setting;
  const run = engine.session("lesson").stream("python", "…");
  gateway.socket.deliver();
  gateway.socket.cut();
  gateway.sessions.clear();
  reconnect(setting);
  gateway.socket.deliver();
  await assert.rejects(
    run.result,
    (error) => error instanceof SessionLostError && error.session === "lesson",
  );
  assert.deepEqual(lost, ["lesson"]);
  const next = engine.session("lesson").stream("python", "…");
  assert.equal(gateway.begun.get(next.id), 1);
});

test("delays grow up to the cap, and the client gives up in the end", async () => {
  const setting = await connected({
    random: () => 1,
    retry: { baseMs: 100, capMs: 400, giveUpMs: 1500 },
  });
  const { gateway, time, engine } = setting;
  const run = engine.stream("bash", "sleep 9");
  const delays: number[] = [];
  gateway.socket.cut();
  while (time.nextMs !== null) {
    delays.push(time.nextMs);
    time.advance(time.nextMs);
    gateway.socket.cut();
  }
  assert.deepEqual(delays, [100, 200, 400, 400, 400]);
  await assert.rejects(run.result, ConnectionLostError);
  assert.deepEqual(setting.states, ["connected", "reconnecting", "closed"]);
  assert.equal(time.waiting, 0);
});

test("a gateway that greets and goes is not hurried", async () => {
  const setting = await connected({ random: () => 1, retry: { baseMs: 100, capMs: 400 } });
  const { gateway, time } = setting;
  const delays: number[] = [];
  for (let count = 0; count < 4; count += 1) {
    gateway.socket.cut();
    delays.push(time.nextMs ?? 0);
    reconnect(setting);
    gateway.socket.deliver();
  }
  assert.deepEqual(delays, [100, 200, 400, 400]);
  time.advance(10_000);
  gateway.socket.cut();
  assert.equal(time.nextMs, 100);
});

test("a first connection that took long leaves later ones their own time", async () => {
  const gateway = new FakeGateway();
  const time = new FakeTime();
  const connecting = Engine.connect("https://gateway.example/", {
    ...{ apiKey: "key", WebSocket: gateway.WebSocket, time, random: () => 1 },
    retry: { firstMs: 300 },
  });
  gateway.socket.cut();
  reconnect({ gateway, time });
  gateway.socket.deliver();
  const engine = await connecting;
  time.advance(1000);
  gateway.socket.cut();
  assert.equal(engine.state, "reconnecting");
});

test("a gateway that falls silent is left", async () => {
  const setting = await connected({ pingEveryMs: 1000, pingDeadlineMs: 500 });
  const { gateway, time, engine } = setting;
  time.advance(1000);
  gateway.socket.deliver();
  time.advance(900);
  assert.equal(engine.state, "connected");
  time.advance(700);
  assert.equal(engine.state, "reconnecting");
  assert.equal(gateway.sockets[0]?.closedWith, 3000);
});

test("pings are measured", async () => {
  const { engine, gateway, time } = await connected();
  assert.equal(engine.latency.averageMs, null);
  const times: number[] = [];
  for (const waitMs of [10, 20, 60]) {
    const pinging = engine.ping();
    time.advance(waitMs);
    gateway.socket.deliver();
    times.push(await pinging);
  }
  const { lastMs, averageMs, minMs, maxMs, recentMs } = engine.latency;
  assert.deepEqual(times, [10, 20, 60]);
  assert.deepEqual([lastMs, averageMs, minMs, maxMs, recentMs], [60, 30, 10, 60, [10, 20, 60]]);
  const lost = engine.ping();
  gateway.socket.cut();
  await assert.rejects(lost, ConnectionLostError);
  await assert.rejects(engine.ping(), ConnectionLostError);
});

test("codes that say no are final", async () => {
  for (const code of [1008, 4000, 4001]) {
    const { engine, gateway, time } = await connected();
    const run = engine.stream("bash", "…");
    gateway.socket.cut(code, "the key was revoked");
    assert.equal(engine.state, "closed");
    await assert.rejects(run.result, /the key was revoked/);
    assert.equal(time.waiting, 0);
  }
});

test("what is no frame ends the connection with a reason", async () => {
  for (const data of ["{", "[]", '{"type":"stdout"}', new Uint8Array([1])]) {
    const { engine, gateway } = await connected();
    const run = engine.stream("bash", "…");
    gateway.socket.say(data);
    assert.equal(engine.state, "closed");
    await assert.rejects(run.result, /what is no frame/);
  }
});

test("frames of a later version, and of runs that are not ours, are passed over", async () => {
  const { engine, gateway } = await connected();
  gateway.socket.say('{"type":"weather","sky":"blue"}');
  gateway.socket.say('{"type":"stdout","id":"x","n":4,"data":"?"}');
  gateway.socket.say('{"type":"pong"}');
  assert.equal(engine.state, "connected");
});

test("closing ends the engine's own session and every run, once", async () => {
  const { engine, gateway, time, states } = await connected();
  const run = engine.stream("bash", "sleep 9");
  gateway.socket.deliver();
  engine.close();
  engine.close();
  await assert.rejects(run.result, /closed/);
  assert.deepEqual(
    gateway.framesOf("close").map((frame) => frame["session"]),
    [sessionOf(gateway)],
  );
  assert.equal(gateway.socket.closedWith, 1000);
  assert.equal(time.waiting, 0);
  assert.deepEqual(states, ["connected", "closed"]);
  assert.throws(() => engine.stream("bash", "ls"), ConnectionLostError);
});

test("misuse is an error that names it", async () => {
  const { engine } = await connected();
  assert.throws(() => engine.stream("", "x"), /language has no name/);
  assert.throws(() => engine.session("../x"), /no name of a session/);
  await assert.rejects(Engine.connect("ftp://x", { apiKey: "k" }), /is not served/);
  await assert.rejects(
    Engine.connect("https://x", { apiKey: "", WebSocket: new FakeGateway().WebSocket }),
    /API key is needed/,
  );
});
