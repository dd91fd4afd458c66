/** The client over real sockets, with the WebSocket of `ws` and with the one that Node may have. */

import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { test } from "@jest/globals";

import { WebSocket, WebSocketServer } from "ws";

import { ConnectionLostError, Engine } from "../src/client.js";

/** Serves one run a connection, which is cut in the middle of the first. */
async function serve(): Promise<{ url: string; stop: () => Promise<void> }> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.once("listening", resolve));
  let connections = 0;
  server.on("connection", (socket) => {
    const isFirst = (connections += 1) === 1;
    const send = (frame: object): void => {
      socket.send(JSON.stringify(frame));
    };
    let id = "";
    socket.on("message", (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Record<string, string>;
      if (frame["action"] === "auth") {
        send({ type: "authenticated" });
      } else if (frame["action"] === "execute") {
        id = frame["id"] ?? "";
        send({ type: "accepted", id, n: 1, session: frame["session"] });
        send({ type: "stdout", id, n: 2, data: "before " });
        remembered.set(frame["session"] ?? "", id);
        if (isFirst) {
          socket.terminate();
        }
      } else if (frame["action"] === "resume") {
        id = remembered.get(frame["session"] ?? "") ?? "";
        send({ type: "resumed", session: frame["session"], n: 4, running: [] });
        const missed = [
          { type: "stdout", id, n: 2, data: "before " },
          { type: "stdout", id, n: 3, data: "after" },
          { type: "result", id, n: 4, exit_code: 0, execution_time: 1 },
        ];
        missed.filter((one) => one.n > Number(frame["after"])).forEach(send);
      } else if (frame["action"] === "ping") {
        send({ type: "pong", id: frame["id"] });
      }
    });
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}/ws`,
    stop: () =>
      new Promise((resolve) => {
        server.clients.forEach((client) => {
          client.terminate();
        });
        server.close(() => {
          resolve();
        });
      }),
  };
}

const remembered = new Map<string, string>();
const GLOBAL: unknown = Reflect.get(globalThis, "WebSocket");

for (const [name, options, skip] of [
  ["the WebSocket of ws", { WebSocket }, false],
  ["the global WebSocket", {}, GLOBAL === undefined],
] as const) {
  (skip ? test.skip : test)(`a run outlives a cut over ${name}`, async () => {
    const { url, stop } = await serve();
    const engine = await Engine.connect(url, { apiKey: "key", retry: { baseMs: 1 }, ...options });
    try {
      const { stdout } = await engine.execute("python", "…");
      assert.equal(stdout, "before after");
      assert.ok((await engine.ping()) >= 0);
    } finally {
      engine.close();
      await stop();
    }
  });
}

test("nobody at the address is an error", async () => {
  const { url, stop } = await serve();
  await stop();
  await assert.rejects(Engine.connect(url, { apiKey: "key", WebSocket }), ConnectionLostError);
});

(GLOBAL === undefined ? test : test.skip)(
  "where there is no WebSocket, one is asked for",
  async () => {
    await assert.rejects(
      Engine.connect("ws://127.0.0.1:1", { apiKey: "key" }),
      /pass the constructor/,
    );
  },
);
