/**
 * Uses a real gateway, whose address and key are arguments, and prints what it got as JSON.
 *
 * tests/integration/test_labextension.py starts a gateway and runs this. The sockets are cut by the
 * program itself, in the middle of a run.
 */

import assert from "node:assert/strict";

import { WebSocket } from "ws";

import { Engine, EngineError } from "../src/client.js";

const sockets: WebSocket[] = [];

class Cuttable extends WebSocket {
  constructor(url: string) {
    super(url);
    sockets.push(this);
  }
}

const [, , url = "", apiKey = ""] = process.argv;
const states: string[] = [];
const engine = await Engine.connect(url, {
  apiKey,
  WebSocket: Cuttable,
  retry: { baseMs: 20 },
  onState: (state) => states.push(state),
});

async function answer(code: string, question: string, reply: string): Promise<string> {
  const run = engine.stream("python", code);
  let printed = "";
  for await (const event of run) {
    if (event.type === "stdout") {
      printed += event.data;
    } else if (event.type === "prompt") {
      assert.match(printed + event.text, new RegExp(question));
      run.stdin(`${reply}\n`);
    }
  }
  return printed;
}

async function cutInTheMiddle(): Promise<string> {
  const code = [
    "import time",
    "for i in range(200): print(i, flush=True); time.sleep(0.005)",
    "print('end')",
  ].join("\n");
  const run = engine.session("visit").stream("python", code);
  let printed = "";
  let cuts = 0;
  for await (const event of run) {
    if (event.type === "stdout") {
      printed += event.data;
      if (printed.split("\n").length > 40 * (cuts + 1) && cuts < 3) {
        cuts += 1;
        sockets.at(-1)?.terminate();
      }
    }
    assert.notEqual(event.type, "gap");
  }
  return printed;
}

async function interrupted(): Promise<number> {
  const run = engine.stream("bash", "echo ready; exec sleep 100", { fresh: true });
  for await (const event of run) {
    if (event.type === "stdout") {
      run.signal("TERM");
    }
  }
  return (await run.result).exit_code;
}

async function refusal(): Promise<string> {
  try {
    await engine.execute("no such language", "x");
  } catch (error) {
    assert.ok(error instanceof EngineError, String(error));
    return error.code;
  }
  return "";
}

const report = {
  hello: (await engine.execute("python", "print('hello')")).stdout,
  input: (await engine.execute("bash", "cat", { stdin: "as given", fresh: true })).stdout,
  noInput: (await engine.execute("bash", "cat; echo end", { fresh: true })).stdout,
  args: (
    await engine.execute("bash", 'cat data.txt; echo "$LEVEL"', {
      files: { "data.txt": "a file\n" },
      env: { LEVEL: "3" },
      fresh: true,
    })
  ).stdout,
  prompted: await answer("name = input('name? ')\nprint('hello', name)", "name\\? ", "Ada"),
  state: [
    (await engine.execute("python", "x = 20")).exit_code,
    (await engine.execute("python", "print(x + 1)")).stdout,
  ],
  cut: await cutInTheMiddle(),
  interrupted: await interrupted(),
  refused: await refusal(),
  limited: (await engine.execute("bash", "sleep 100", { timeout: 0.3, fresh: true })).ended_by,
  pingMs: await engine.ping(),
  states,
};
engine.close();
process.stdout.write(JSON.stringify(report));
