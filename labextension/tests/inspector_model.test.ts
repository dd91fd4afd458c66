/** The wire inspector without its widget: which keys go out, and what is copied. */

import assert from "node:assert/strict";
import { describe, test } from "@jest/globals";

import { ServerConnection } from "@jupyterlab/services";

import { Inspector } from "../src/inspector/inspector.js";
import { FakeTime } from "./time.js";

interface IMade {
  readonly inspector: Inspector;
  readonly asked: RequestInit[];
  readonly tickets: () => number;
}

function made(): IMade {
  const asked: RequestInit[] = [];
  let tickets = 0;
  const settings = {
    ...ServerConnection.makeSettings({
      baseUrl: "http://localhost/base/",
      wsUrl: "ws://localhost/base/",
      token: "jupyter-token",
      appendToken: true,
    }),
    fetch: async (_url: RequestInfo | URL, init?: RequestInit) => {
      asked.push(init ?? {});
      return Promise.resolve(new Response('{"stdout":"","exit_code":0}'));
    },
  };
  const inspector = new Inspector({
    settings,
    time: new FakeTime(),
    newTicket: async () => {
      tickets += 1;
      return Promise.resolve({ ticket: `tk_${tickets}_0123456789`, publicKey: "ticket" });
    },
  });
  return { inspector, asked, tickets: () => tickets };
}

const bearer = ({ headers }: RequestInit): string =>
  new Headers(headers).get("Authorization") ?? "";

describe("who pays", () => {
  test("is a new ticket for each request", async () => {
    const { asked, inspector } = made();
    inspector.choose("rest");
    await inspector.send();
    await inspector.send();
    assert.deepEqual(asked.map(bearer), ["Bearer tk_1_0123456789", "Bearer tk_2_0123456789"]);
    const shown = inspector.session?.log.frames.map(({ head }) => inspector.vault.hide(head));
    assert.ok(!String(shown).includes("tk_"));
  });

  test("is the key that somebody typed, and no ticket is asked for", async () => {
    const { asked, inspector, tickets } = made();
    inspector.choose("rest");
    inspector.prove("own");
    await assert.rejects(inspector.send(), /\{\{API_KEY\}\} stands for nothing yet/);
    inspector.setOwn("API_KEY", " ek_of_my_own ");
    await inspector.send();
    assert.deepEqual(asked.map(bearer), ["Bearer ek_of_my_own"]);
    assert.equal(tickets(), 0);
  });
});

describe("addresses", () => {
  test("of published protocols have no token, and that of a room shows none", () => {
    const { inspector } = made();
    assert.equal(inspector.url, "ws://localhost/base/embedenv/ws");
    inspector.choose("spaces");
    assert.equal(inspector.url, "ws://localhost/base/embedenv/ws/spaces/defoult/");
    inspector.choose("room");
    inspector.chooseRoom("abc");
    assert.equal(inspector.url, "ws://localhost/base/embedenv/rooms/abc/events?token={{TOKEN}}");
  });

  test("of a room need a room", async () => {
    const { inspector } = made();
    inspector.choose("room");
    await assert.rejects(inspector.send(), /choose a room first/);
  });
});

describe("programs", () => {
  test("for curl ask REST for the run of a socket, and there are none for a room's events", () => {
    const { inspector } = made();
    assert.match(
      inspector.program("curl") ?? "",
      /http:\/\/localhost\/base\/embedenv\/api\/v1\/execute/,
    );
    inspector.choose("room");
    assert.equal(inspector.program("curl"), null);
    assert.match(inspector.program("python") ?? "", /os\.environ\["TOKEN"\]/);
  });
});
