import { expect, test } from "@jest/globals";
import { Changes } from "../src/changes.js";
import type { Happening, IEvent } from "../src/protocols/room_events.js";

let n = 0;

function at(seconds: number, what: Happening): IEvent {
  n += 1;
  return { type: "event", n, at: seconds, what };
}

function started(run: string): Happening {
  const command = `python ${run}.py`;
  return {
    event: "run-started",
    run,
    command,
    user: "Ada",
    member: "m",
    kind: "shell",
    kernel: "",
    cell: "",
    color: "",
  };
}

function ended(run: string): Happening {
  const end = { code: 0, signal: null, duration_s: 1, cost: 0, reason: "exit", kind: "shell" };
  return { event: "run-ended", run, user: "Ada", ...end };
}

function files(user: string, ...paths: string[]): Happening {
  return { event: "files", paths, user };
}

test("nothing is known before the first run", () => {
  const changes = new Changes();
  changes.receive(at(1, files("Ada", "a.txt")));
  expect(changes.last).toBeNull();
});

test("changes between the beginning and the end of a run are its own", () => {
  const changes = new Changes();
  changes.receive(at(1, files("Ada", "before.txt")));
  changes.receive(at(2, started("one")));
  changes.receive(at(3, files("Ada", "a.txt", "b.txt")));
  changes.receive(at(4, files("Ada", "a.txt")));
  changes.receive(at(5, ended("one")));
  changes.receive(at(9, files("Ada", "after.txt")));
  expect(changes.last).toEqual({
    run: "one",
    command: "python one.py",
    user: "Ada",
    startedAt: 2,
    hasEnded: true,
    paths: ["b.txt", "a.txt"],
  });
});

test("what programs change is found by its time", () => {
  const changes = new Changes();
  changes.receive(at(10, started("one")));
  changes.receive(at(11, files("", "folder")));
  changes.receive(at(12, ended("one")));
  changes.found([
    { path: "old.png", modifiedAt: 9 },
    { path: "plot.png", modifiedAt: 11.5 },
    { path: "later.png", modifiedAt: 20 },
  ]);
  expect(changes.last?.paths).toEqual(["plot.png"]);
});

test("two runs at a time share what changes, and the one that began last is shown", () => {
  const changes = new Changes();
  changes.receive(at(1, started("long")));
  changes.receive(at(2, started("short")));
  changes.receive(at(3, files("Ada", "a.txt")));
  changes.receive(at(4, ended("long")));
  changes.receive(at(6, files("Ada", "b.txt")));
  expect(changes.last).toMatchObject({ run: "short", hasEnded: false, paths: ["a.txt", "b.txt"] });
});

test("other events are none of its business", () => {
  expect(new Changes().receive(at(1, { event: "port", port: 80 }))).toBe(false);
});
