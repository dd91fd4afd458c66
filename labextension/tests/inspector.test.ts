/** The pure parts of the wire inspector: what is kept, what is hidden, what is copied. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "@jest/globals";

import type { EndpointId } from "../src/inspector/endpoints.js";
import { endpoint, ENDPOINTS } from "../src/inspector/endpoints.js";
import { EventStream } from "../src/inspector/event_stream.js";
import { FrameLog, MAX_CHARS, MAX_FRAME_CHARS, MAX_FRAMES } from "../src/inspector/frame_log.js";
import { executeAsRequest, secretsIn, snippet } from "../src/inspector/snippets.js";
import { Timeline } from "../src/inspector/timeline.js";
import { Vault } from "../src/inspector/vault.js";

const KEY = "tk_0123456789abcdefghij";

describe("the vault", () => {
  test("hides a secret wherever it stands, and puts it back", () => {
    const vault = new Vault();
    vault.set("API_KEY", KEY);
    const sent = vault.fill('{"api_key":"{{API_KEY}}","code":"print(1)"}');
    assert.equal(sent, `{"api_key":"${KEY}","code":"print(1)"}`);
    assert.equal(vault.hide(sent), '{"api_key":"{{API_KEY}}","code":"print(1)"}');
    assert.equal(vault.hide(`Authorization: Bearer ${KEY}`), "Authorization: Bearer {{API_KEY}}");
  });

  test("knows secrets by their fields, however deep", () => {
    const vault = new Vault();
    vault.learn('{"a":[{"join":"join-key-1"}],"token":"member-token","n":1,"join":"join-key-2"}');
    const shown = vault.hide("join-key-1 member-token join-key-2");
    assert.equal(shown, "{{JOIN_KEY}} {{MEMBER_TOKEN}} {{JOIN_KEY_2}}");
    assert.equal(vault.fill(shown), "join-key-1 member-token join-key-2");
  });

  test("tells the token of a member from its id", () => {
    const vault = new Vault();
    vault.learn(`{"member":"0123456789ab"}`);
    vault.learn(`{"member":"${"t".repeat(32)}"}`);
    assert.equal(vault.hide(`0123456789ab ${"t".repeat(32)}`), "0123456789ab {{MEMBER_TOKEN}}");
  });

  test("hides a short secret only where it is all of a text", () => {
    const vault = new Vault();
    vault.learn('{"data":"abc\\n"}', ["data"]);
    assert.equal(vault.hide('{"data":"abc\\n"}'), '{"data":"{{INPUT}}"}');
    assert.equal(vault.hide("abc\nabcdef"), "abc\nabcdef");
  });

  test("goes on to hide what a name stood for before", () => {
    const vault = new Vault();
    vault.set("API_KEY", KEY);
    vault.set("API_KEY", `${KEY}2`);
    assert.equal(vault.hide(`${KEY} ${KEY}2`), "{{API_KEY}} {{API_KEY}}");
    assert.equal(vault.fill("{{API_KEY}}"), `${KEY}2`);
  });

  test("leaves what it does not know", () => {
    const vault = new Vault();
    assert.equal(vault.fill("{{API_KEY}} {{HOME}} $API_KEY"), "{{API_KEY}} {{HOME}} $API_KEY");
    vault.learn("no JSON");
    vault.learn("null");
    assert.equal(vault.hide("null"), "null");
  });

  test("cuts a text where secrets are, for those who may look at one", () => {
    const vault = new Vault();
    vault.set("API_KEY", 'with "quotes"');
    const text = '{"api_key":"with \\"quotes\\""}';
    assert.deepEqual(vault.segments(text), [
      { text: '{"api_key":"', placeholder: null },
      { text: 'with \\"quotes\\"', placeholder: "{{API_KEY}}" },
      { text: '"}', placeholder: null },
    ]);
  });
});

describe("the log of frames", () => {
  test("keeps the newest, and counts what it drops", () => {
    const log = new FrameLog();
    for (let count = 0; count < MAX_FRAMES + 5; count += 1) {
      log.add("in", count, "{}");
    }
    assert.deepEqual([log.frames.length, log.dropped, log.frames[0]?.number], [MAX_FRAMES, 5, 6]);
  });

  test("is bounded in characters, and says what it cut from a frame", () => {
    const log = new FrameLog();
    const frame = log.add("in", 0, "ä".repeat(MAX_FRAME_CHARS + 7));
    assert.deepEqual([frame.text.length, frame.cutChars], [MAX_FRAME_CHARS, 7]);
    assert.equal(frame.bytes, 2 * (MAX_FRAME_CHARS + 7));
    for (let count = 0; count < 40; count += 1) {
      log.add("in", 0, "x".repeat(MAX_FRAME_CHARS));
    }
    assert.equal(log.frames.length, MAX_CHARS / MAX_FRAME_CHARS);
    assert.equal(log.dropped + log.frames.length, log.total);
  });
});

describe("the timeline", () => {
  test("tells what a run waited for", () => {
    const timeline = new Timeline(true);
    timeline.opened(5);
    timeline.mark("submit", 10);
    timeline.mark("accepted", 13);
    timeline.mark("output", 20);
    timeline.mark("output", 25);
    assert.equal(timeline.spans.at(-1)?.toMs, null);
    timeline.mark("end", 30);
    assert.deepEqual(timeline.spans, [
      { name: "handshake", fromMs: 0, toMs: 5 },
      { name: "submission", fromMs: 10, toMs: 13 },
      { name: "silence", fromMs: 13, toMs: 20 },
      { name: "output", fromMs: 20, toMs: 30 },
    ]);
  });

  test("ends what the end of the connection cut off", () => {
    const timeline = new Timeline(true);
    timeline.mark("hello", 1);
    timeline.closed(4);
    assert.deepEqual(timeline.spans, [
      { name: "handshake", fromMs: 0, toMs: 4 },
      { name: "greeting", fromMs: 1, toMs: 4 },
    ]);
  });

  test("begins anew with each run, and has no handshake for a request", () => {
    const timeline = new Timeline(false);
    timeline.mark("submit", 1);
    timeline.mark("end", 2);
    timeline.mark("submit", 7);
    timeline.mark("end", 9);
    assert.deepEqual(timeline.spans, [
      { name: "submission", fromMs: 7, toMs: 9 },
      { name: "silence", fromMs: 9, toMs: 9 },
    ]);
  });
});

describe("Server-Sent Events", () => {
  const text =
    "event: stdout\r\nid: 3\r\ndata: a\r\ndata: b\r\n\r\n: comment\n\ndata:c\n\nevent: x\n\n";
  for (let at = 0; at <= text.length; at += 1) {
    test(`are the same when cut at ${at}`, () => {
      const stream = new EventStream();
      const events = [...stream.feed(text.slice(0, at)), ...stream.feed(text.slice(at))];
      assert.deepEqual(events, [
        { name: "stdout", data: "a\nb", id: "3" },
        { name: "message", data: "c", id: "3" },
      ]);
    });
  }
});

describe("programs", () => {
  const nasty = JSON.stringify({
    language: "python",
    api_key: "{{API_KEY}}",
    code: "print('it''s', \"\\\\\", `$HOME`, '${x}')\n# 😀 \u2028",
    stream: true,
    none: null,
    list: [1, -0.5, [], {}],
  });
  const sent = [nasty];

  test("curl sends exactly the frame, and the secret from the environment", () => {
    const program = snippet("curl", { transport: "request", url: "http://127.0.0.1:1/x", sent });
    assert.ok(program !== null && !program.includes("{{"));
    const script = `curl() { while [ $# -gt 1 ]; do shift; done; printf %s "$1"; }\n${program}`;
    const seen = execFileSync("sh", ["-c", script], { env: { API_KEY: "key's" } }).toString();
    assert.deepEqual(JSON.parse(seen), { ...JSON.parse(nasty), api_key: "key's" });
  });

  test("Python builds exactly the frame", () => {
    const program = snippet("python", { transport: "request", url: "http://127.0.0.1:1/", sent });
    const begin = String(program).slice(0, String(program).indexOf("for body"));
    const script = `${begin}\nprint(json.dumps(BODIES[0]))`;
    const seen = execFileSync("python3", ["-c", script], { env: { ...process.env, API_KEY: "k" } });
    assert.deepEqual(JSON.parse(seen.toString()), { ...JSON.parse(nasty), api_key: "k" });
  });

  for (const transport of ["socket", "request", "stream"] as const) {
    test(`for a ${transport} are correct Python and JavaScript`, () => {
      const url = "ws://localhost/x?token={{TOKEN}}";
      const python = snippet("python", { transport, url, sent }) ?? "";
      execFileSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], {
        input: python,
      });
      const script = snippet("javascript", { transport, url, sent }) ?? "";
      execFileSync("node", ["--input-type=module", "--check"], { input: script });
      assert.match(script, /"ws:\/\/localhost\/x\?token=" \+ TOKEN/);
    });
  }

  test("of curl there are none for sockets, but one for the run of an execute frame", () => {
    const url = "http://localhost/api/v1/execute";
    assert.equal(snippet("curl", { transport: "socket", url, sent }), null);
    const frame = '{"action":"execute","id":"1","api_key":"{{API_KEY}}","code":"1","stream":true}';
    assert.deepEqual(executeAsRequest(frame, url), {
      transport: "stream",
      url,
      sent: ['{"code":"1"}'],
    });
    assert.equal(executeAsRequest('{"action":"ping"}', url), null);
    assert.equal(executeAsRequest("no JSON", url), null);
  });

  test("say which secrets they need", () => {
    assert.deepEqual(secretsIn(["{{API_KEY}} {{HOME}}", "{{JOIN_KEY_2}}{{API_KEY}}"]), [
      "API_KEY",
      "JOIN_KEY_2",
    ]);
  });
});

describe("endpoints", () => {
  test.each([...ENDPOINTS])("%s has samples that say when a run begins, or who comes", (id) => {
    const { mark, samples } = endpoint(id);
    const marks = samples.map((sample) => mark("out", sample.frame));
    assert.ok(marks.includes("submit") || marks.includes("hello"));
  });

  test.each<[EndpointId, object, string | null]>([
    ["engine", { type: "accepted" }, "accepted"],
    ["engine", { stdout: "", exit_code: 0 }, "end"],
    ["engine", { type: "pong" }, null],
    ["stream", { type: "result" }, "end"],
    ["spaces", { type: "terminal-data" }, "output"],
    ["spaces", { type: "init" }, "welcome"],
    ["room", { n: 1, event: "run-ended" }, "end"],
  ])("%s understands %j", (id, frame, mark) => {
    assert.equal(endpoint(id).mark("in", Object.fromEntries(Object.entries(frame))), mark);
  });
});
