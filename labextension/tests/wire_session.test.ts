/** A watched connection: sockets and answers that do what a test says. */

import assert from "node:assert/strict";
import { describe, test } from "@jest/globals";

import type { EndpointId } from "../src/inspector/endpoints.js";
import { endpoint } from "../src/inspector/endpoints.js";
import { WireSession } from "../src/inspector/session.js";
import { Vault } from "../src/inspector/vault.js";
import { FakeTime } from "./time.js";

type Listener = (event: { data: unknown; code: number; reason: string }) => void;

class FakeSocket {
  static last: FakeSocket;
  readonly sent: string[] = [];
  private readonly listeners = new Map<string, Listener>();

  constructor(readonly url: string) {
    FakeSocket.last = this;
  }

  addEventListener(type: string, listener: Listener): void {
    this.listeners.set(type, listener);
  }

  happen(type: string, event: Partial<Parameters<Listener>[0]> = {}): void {
    this.listeners.get(type)?.({ data: "", code: 0, reason: "", ...event });
  }

  send(data: string): void {
    this.sent.push(data);
  }

  close(code = 1000): void {
    this.happen("close", { code, reason: "" });
  }
}

const TICKET = "tk_abcdefghijklmnop";

function made(
  id: EndpointId,
  answer?: () => Promise<Response>,
): {
  session: WireSession;
  time: FakeTime;
  asked: RequestInit[];
} {
  const time = new FakeTime();
  const vault = new Vault();
  const asked: RequestInit[] = [];
  const session = new WireSession({
    endpoint: endpoint(id),
    url: "ws://localhost/ws",
    vault,
    time,
    WebSocket: FakeSocket,
    fetch: async (_url, init) => {
      asked.push(init);
      assert.ok(answer);
      return answer();
    },
    prepare: async (frame) => {
      if (frame.includes("API_KEY") || id !== "engine") {
        vault.set("API_KEY", TICKET);
      }
      return Promise.resolve();
    },
  });
  return { session, time, asked };
}

const shown = ({ session }: { session: WireSession }): string[] =>
  session.log.frames.map(({ direction, text }) => `${direction} ${text}`);

describe("a socket", () => {
  test("is seen from its handshake to its end", async () => {
    const it = made("engine");
    it.session.connect();
    it.time.advance(5);
    FakeSocket.last.happen("open");
    await it.session.send('{"action":"execute","id":"1","api_key":"{{API_KEY}}"}');
    it.time.advance(3);
    FakeSocket.last.happen("message", { data: '{"type":"accepted","id":"1"}' });
    it.time.advance(4);
    FakeSocket.last.happen("message", { data: '{"type":"result","id":"1"}' });
    FakeSocket.last.happen("close", { code: 4001, reason: "put out" });
    assert.deepEqual(FakeSocket.last.sent, [`{"action":"execute","id":"1","api_key":"${TICKET}"}`]);
    assert.deepEqual(it.session.sent, ['{"action":"execute","id":"1","api_key":"{{API_KEY}}"}']);
    assert.deepEqual(
      it.session.log.frames.map(({ atMs, direction }) => [direction, atMs]),
      [
        ["note", 0],
        ["note", 5],
        ["out", 5],
        ["in", 8],
        ["in", 12],
        ["note", 12],
      ],
    );
    assert.equal(shown(it).at(-1), "note Closed: 4001 put out");
    assert.deepEqual(it.session.timeline.spans.at(-1), { name: "silence", fromMs: 8, toMs: 12 });
    assert.equal(it.session.state, "closed");
  });

  test("takes nothing before it is open, and nothing afterwards", async () => {
    const { session } = made("engine");
    session.connect();
    await assert.rejects(session.send("{}"), /not open/);
    FakeSocket.last.happen("open");
    session.close();
    await assert.rejects(session.send("{}"), /not open/);
  });

  test("hides what is typed where a password was asked for", async () => {
    const it = made("engine");
    it.session.connect();
    FakeSocket.last.happen("open");
    FakeSocket.last.happen("message", { data: '{"type":"prompt","id":"1","password":true}' });
    await it.session.send('{"action":"stdin","id":"1","data":"pw\\n"}');
    assert.deepEqual(it.session.sent, ['{"action":"stdin","id":"1","data":"{{INPUT}}"}']);
    assert.equal(FakeSocket.last.sent[0], '{"action":"stdin","id":"1","data":"pw\\n"}');
  });

  test("may bring what is no protocol", () => {
    const it = made("engine");
    it.session.connect();
    FakeSocket.last.happen("open");
    for (const data of ["no JSON", "[1]", "null", new ArrayBuffer(2)]) {
      FakeSocket.last.happen("message", { data });
    }
    assert.deepEqual(shown(it).slice(2, 5), ["in no JSON", "in [1]", "in null"]);
    assert.match(shown(it).at(-1) ?? "", /message of bytes/);
  });
});

describe("a request", () => {
  test("is seen with its headers, and its key hidden", async () => {
    const it = made("rest", () =>
      Promise.resolve(new Response('{"stdout":"hi"}', { status: 200, statusText: "OK" })),
    );
    await it.session.send('{"language":"python"}');
    const [out, answer] = it.session.log.frames;
    assert.match(out?.head ?? "", /Authorization: Bearer tk_/);
    assert.equal(answer?.text, '{"stdout":"hi"}');
    assert.match(answer.head, /^200 OK\n/);
    assert.equal(it.asked[0]?.credentials, "omit");
    assert.equal(it.session.timeline.spans[0]?.name, "submission");
  });

  test("that fails says why, and another can follow", async () => {
    let count = 0;
    const it = made("rest", () => {
      count += 1;
      return count === 1
        ? Promise.reject(new TypeError("no network"))
        : Promise.resolve(new Response("{}"));
    });
    await it.session.send("{}");
    assert.equal(shown(it).at(-1), "note no network");
    await it.session.send("{}");
    assert.equal(shown(it).at(-2), "in {}");
  });

  test("is streamed event by event", async () => {
    const pieces = [
      "event: stdout\nid: 1\nda",
      'ta: {"type":"stdout"}\n\nevent: result\nid: 2\ndata: {"type":"result"}\n\n',
    ];
    const body = new ReadableStream({
      start(controller) {
        pieces.forEach((piece) => {
          controller.enqueue(new TextEncoder().encode(piece));
        });
        controller.close();
      },
    });
    const headers = { "Content-Type": "text/event-stream" };
    const it = made("stream", () => Promise.resolve(new Response(body, { headers })));
    await it.session.send("{}");
    assert.deepEqual(shown(it).slice(2), [
      'in {"type":"stdout"}',
      'in {"type":"result"}',
      "note The answer is complete.",
    ]);
    assert.equal(it.session.timeline.spans.at(-1)?.name, "output");
  });
});
