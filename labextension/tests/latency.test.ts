/** What the latency monitor knows of a connection, and how it measures the Engine. */

import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { describe, test } from "@jest/globals";

import { WebSocket, WebSocketServer } from "ws";

import { EngineProbe } from "../src/engine_probe.js";
import { Latency } from "../src/latency.js";
import { Link } from "../src/link.js";
import { LinkHistory } from "../src/link_history.js";
import { REAL_TIME } from "../src/time.js";

function made(): { link: Link; latency: Latency; history: LinkHistory } {
  const latency = new Latency();
  const link = new Link(
    latency,
    () => 0,
    () => undefined,
  );
  return { link, latency, history: new LinkHistory() };
}

describe("the history of a link", () => {
  test("counts each ping once, also when several came between two looks", () => {
    const { history, latency, link } = made();
    latency.add(5);
    history.observe(link, 0);
    history.observe(link, 0);
    latency.add(1);
    latency.add(9);
    history.observe(link, 0);
    assert.deepEqual(history.latency.recentMs, [5, 1, 9]);
    assert.deepEqual([history.latency.minMs, history.latency.maxMs], [1, 9]);
  });

  test("tells when it was cut, and why", () => {
    const { history, link } = made();
    for (const [step, atMs] of [
      ["opening", 1],
      ["connected", 2],
      ["cut", 3],
      ["connected", 4],
    ] as const) {
      if (step === "cut") {
        link.reconnecting("network gone");
        history.observe(link, atMs);
        link.waiting(100, "network gone");
        link.missed += 2;
      } else {
        link[step]();
      }
      history.observe(link, atMs);
    }
    assert.deepEqual(history.cuts, [{ atMs: 3, reason: "network gone" }]);
    assert.equal(history.missed, 2);
  });

  test("passes over what happens while it is paused, and forgets when it is told to", () => {
    const { history, latency, link } = made();
    latency.add(5);
    history.observe(link, 0);
    latency.add(500);
    history.observe(link, 0, true);
    latency.add(7);
    history.observe(link, 0);
    assert.deepEqual(history.latency.recentMs, [5, 7]);
    history.reset();
    latency.add(3);
    history.observe(link, 0);
    assert.deepEqual(history.latency.recentMs, [3]);
  });

  test("goes on when the link is another one", () => {
    const { history, latency, link } = made();
    latency.add(5);
    history.observe(link, 0);
    const other = made();
    other.latency.add(6);
    history.observe(other.link, 0);
    assert.deepEqual(history.latency.recentMs, [5, 6]);
  });

  test("keeps the last cuts and counts all", () => {
    const { history, link } = made();
    for (let count = 0; count < 60; count += 1) {
      link.connected();
      history.observe(link, 0);
      link.reconnecting(`cut ${count}`);
      history.observe(link, 0);
    }
    assert.deepEqual([history.cuts.length, history.cutTotal], [50, 60]);
    assert.equal(history.cuts.at(-1)?.reason, "cut 59");
  });
});

test("the probe pings, and comes back with another key when it was cut", async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.once("listening", resolve));
  const keys: string[] = [];
  server.on("connection", (socket) => {
    socket.on("message", (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Record<string, string>;
      if (frame["action"] === "auth") {
        keys.push(frame["api_key"] ?? "");
        socket.send('{"type":"authenticated"}');
      } else if (keys.length === 1) {
        socket.terminate();
      } else {
        socket.send(JSON.stringify({ type: "pong", id: frame["id"] }));
      }
    });
  });
  const { port } = server.address() as AddressInfo;
  let asked = 0;
  let notify = (): void => undefined;
  const probe = new EngineProbe({
    url: `ws://127.0.0.1:${port}/ws`,
    key: async () => {
      asked += 1;
      return Promise.resolve(`ticket ${asked}`);
    },
    WebSocket,
    time: REAL_TIME,
    random: () => 0,
    changed: () => {
      notify();
    },
  });
  const history = new LinkHistory();
  await new Promise<void>((resolve) => {
    notify = () => {
      history.observe(probe.link, 0);
      if (history.latency.total > 0) {
        resolve();
      }
    };
  });
  assert.deepEqual(keys, ["ticket 1", "ticket 2"]);
  assert.equal(history.cutTotal, 1);
  assert.equal(probe.link.state, "connected");
  probe.dispose();
  server.clients.forEach((client) => {
    client.terminate();
  });
  await new Promise((resolve) => server.close(resolve));
});
