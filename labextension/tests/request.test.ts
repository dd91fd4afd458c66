/** Requests to the gateway's own routes, and what people read when one is refused. */

import assert from "node:assert/strict";

import { ServerConnection } from "@jupyterlab/services";
import { test } from "@jest/globals";

import { RoomsApi } from "../src/api.js";
import { bytes, clock, ofBytes, oneLine, short } from "../src/format.js";
import { request, RequestError } from "../src/request.js";
import { roomJson } from "./room_gateway.js";

interface IAsked {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

function server(status: number, answer: string): ServerConnection.ISettings & { asked: IAsked[] } {
  const asked: IAsked[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: "http://gateway.example/a%40b/",
    fetch: async (info: RequestInfo | URL) => {
      const { body, method, url } = info as Request;
      asked.push({
        method,
        url: url.replace(/\?.*/, ""),
        body: body === null ? "" : await read(info),
      });
      return new Response(status === 204 ? null : answer, { status, statusText: "Said" });
    },
  });
  return { ...settings, asked };
}

async function read(info: RequestInfo | URL): Promise<string> {
  return (info as Request).text();
}

async function refusal(status: number, answer: string): Promise<RequestError> {
  try {
    await request(server(status, answer), "GET", ["api", "rooms"]);
  } catch (error) {
    assert.ok(error instanceof RequestError, String(error));
    return error;
  }
  throw new Error("nothing was refused");
}

test("a refusal is a sentence, with the name that programs know", async () => {
  const { message, reason, status } = await refusal(
    404,
    '{"message":"no open room has this key","reason":"UnknownKeyError"}',
  );
  assert.deepEqual(
    [message, reason, status],
    ["No open room has this key.", "UnknownKeyError", 404],
  );
});

test("what a proxy says instead is told by its status", async () => {
  for (const answer of ["<html>Bad gateway</html>", "[]", "{}", ""]) {
    assert.equal((await refusal(502, answer)).message, "The server answered 502 Said.");
  }
});

test("an answer that is no JSON is an error, an empty one is not", async () => {
  assert.match((await refusal(200, "<html>")).message, /no JSON/);
  assert.equal(await request(server(204, ""), "DELETE", ["api", "join", "a1"]), null);
});

test("each step of a path is written for itself", async () => {
  const settings = server(201, JSON.stringify({ join: "k", role: "run", expires_at: null }));
  await new RoomsApi(settings).rotateKey("a1", "../../x");
  assert.equal(
    settings.asked[0]?.url,
    "http://gateway.example/a%40b/embedenv/api/rooms/a1/keys/..%2F..%2Fx/rotate",
  );
});

test("a room is opened with what was chosen, and nothing else", async () => {
  const settings = server(201, JSON.stringify(roomJson("a1", { join: "k" })));
  const room = await new RoomsApi(settings).create({ name: "Lab", limits: { cpu_cores: 0.5 } });
  assert.equal(room.id, "a1");
  const [asked] = settings.asked;
  assert.equal(asked?.method, "POST");
  assert.deepEqual(JSON.parse(asked.body), { name: "Lab", limits: { cpu_cores: 0.5 } });
});

test("numbers are written as people read them", () => {
  assert.deepEqual([0, 1023, 1536, 5 << 20, 20 << 20].map(bytes), [
    "0 B",
    "1023 B",
    "1.5 KiB",
    "5.0 MiB",
    "20 MiB",
  ]);
  assert.deepEqual([-5, 0, 64.2, 3725].map(clock), ["0:00", "0:00", "1:05", "1:02:05"]);
  assert.deepEqual([0.04, 0.36, 12.6].map(short), ["0", "0.4", "13"]);
  const of = (used: string, limit: string): string => `${used} of ${limit}`;
  assert.equal(ofBytes(300 << 20, 512 << 20, of), "300 of 512 MiB");
  assert.equal(ofBytes("not known", 512 << 20, of), "not known of 512 MiB");
  assert.equal(oneLine("a\n  b\tc", 10), "a b c");
  assert.equal(oneLine("🙂🙂🙂🙂", 3), "🙂🙂…");
});
