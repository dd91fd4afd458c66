/** What the language board makes of answers of a gateway. */

import assert from "node:assert/strict";
import { describe, test } from "@jest/globals";

import { LanguageBoardModel } from "../src/language_board.js";
import type { InstallEvent, LanguagesApi } from "../src/languages.js";
import { parseInstallEvent, trial } from "../src/languages.js";

describe("a trial", () => {
  const answer = (more: object): string =>
    JSON.stringify({ stdout: "Hello, World!\n", exit_code: 0, execution_time: "87ms", ...more });

  test("is good when the program printed what it should", () => {
    assert.deepEqual(trial(answer({}), 100), {
      isGood: true,
      totalMs: 100,
      runMs: 87,
      problem: "",
    });
  });

  test.each<[string, object, RegExp]>([
    ["it printed something else", { stdout: "Hello" }, /^Hello$/],
    ["it failed", { exit_code: 1, stderr: "no such thing" }, /no such thing/],
    ["it ran out of something", { exit_code: 137, ended_by: "oom", stdout: "" }, /^oom$/],
  ])("is not good when %s", (_why, more, problem) => {
    const { isGood, problem: seen } = trial(answer(more), 1);
    assert.equal(isGood, false);
    assert.match(seen, problem);
  });

  test("says why nothing was run, and shows what is no answer at all", () => {
    const refused = '{"type":"error","error":"missing_toolchain","message":"no rustc"}';
    assert.equal(trial(refused, 1).problem, "no rustc");
    assert.equal(trial("<html>", 1).problem, "<html>");
  });
});

test("events of an installation are read, and those of later versions passed over", () => {
  assert.deepEqual(
    parseInstallEvent('{"type":"step","number":1,"of":2,"title":"t","command":"c"}'),
    {
      type: "step",
      number: 1,
      of: 2,
      title: "t",
    },
  );
  assert.equal(parseInstallEvent('{"type":"weather"}'), null);
  assert.throws(() => parseInstallEvent('{"type":"output"}'), /"text" is missing/);
});

type Fakes = Partial<Pick<LanguagesApi, "all" | "test" | "install">>;

function board(fakes: Fakes): LanguageBoardModel {
  const language = { aliases: [], version: "", session: true, missing: [] };
  const listed = [
    { ...language, id: "a", name: "A", found: true },
    { ...language, id: "b", name: "B", found: false },
    { ...language, id: "c", name: "C", found: true },
  ];
  const api = { all: async () => Promise.resolve(listed), ...fakes };
  return new LanguageBoardModel(api as unknown as LanguagesApi);
}

describe("the board", () => {
  test("keeps the list it has when a refresh fails, and says why", async () => {
    let isDown = false;
    const model = board({});
    await model.refresh();
    const before = model.languages;
    const failing = board({
      all: async () => (isDown ? Promise.reject(new Error("gone")) : Promise.resolve(before ?? [])),
    });
    await failing.refresh();
    isDown = true;
    await failing.refresh();
    assert.equal(failing.problem, "gone");
    assert.equal(failing.languages?.length, 3);
  });

  test("tries those that are here, one after another, and goes on after a failure", async () => {
    const tried: string[] = [];
    const model = board({
      test: async (id) => {
        tried.push(id);
        return id === "a"
          ? Promise.reject(new Error("no network"))
          : Promise.resolve({ isGood: true, totalMs: 1, runMs: 1, problem: "" });
      },
    });
    await model.refresh();
    await model.testAll();
    assert.deepEqual(tried, ["a", "c"]);
    assert.deepEqual(model.trial("a"), {
      isGood: false,
      totalMs: 0,
      runMs: null,
      problem: "no network",
    });
  });

  test("stops trying when it is told to", async () => {
    const tried: string[] = [];
    const model: LanguageBoardModel = board({
      test: async (id) => {
        tried.push(id);
        model.stopTesting();
        return Promise.resolve({ isGood: true, totalMs: 1, runMs: 1, problem: "" });
      },
    });
    await model.refresh();
    await model.testAll();
    assert.deepEqual(tried, ["a"]);
  });

  test.each<[string, InstallEvent[], string]>([
    ["done", [{ type: "done" }], "done"],
    ["failed", [{ type: "failed", title: "t", exitCode: 1, output: "o" }], "failed"],
    ["cut off", [], "failed"],
  ])("tells how an installation went that was %s", async (_how, ends, state) => {
    const begin: InstallEvent[] = [
      { type: "step", number: 1, of: 2, title: "first" },
      { type: "output", text: "x".repeat(30_000) },
    ];
    const model = board({
      install: async function* () {
        await Promise.resolve();
        yield* [...begin, ...ends];
      },
    });
    await model.install("b");
    const seen = model.installation("b");
    assert.equal(seen?.state, state);
    assert.equal(seen.output.length, 20_000);
    assert.equal(model.languages?.length, 3);
  });
});
