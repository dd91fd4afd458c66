import { expect, test } from "@jest/globals";
import { DriveNames } from "../src/drive_names.js";

class Memory implements Storage {
  private readonly kept = new Map<string, string>();

  get length(): number {
    return this.kept.size;
  }

  clear(): void {
    this.kept.clear();
  }

  getItem(key: string): string | null {
    return this.kept.get(key) ?? null;
  }

  key(index: number): string | null {
    return [...this.kept.keys()][index] ?? null;
  }

  removeItem(key: string): void {
    this.kept.delete(key);
  }

  setItem(key: string, value: string): void {
    this.kept.set(key, value);
  }
}

test("a room keeps the name of its drive, also in the next page and when it is renamed", () => {
  const storage = new Memory();
  const name = new DriveNames("/base/", storage).nameFor("0123456789", "Workshop");
  expect(name).toBe("Room-Workshop");
  expect(new DriveNames("/base/", storage).nameFor("0123456789", "Another")).toBe(name);
  expect(new DriveNames("/other/", storage).all().size).toBe(0);
});

test("rooms of one name have drives of their own", () => {
  const names = new DriveNames("/", new Memory());
  expect(names.nameFor("aaaaaaaaaaaa", "Workshop")).toBe("Room-Workshop");
  expect(names.nameFor("bbbbbbbbbbbb", "Workshop")).toBe("Room-Workshop-bbbbbbbb");
});

test.each([
  ["a/b: c", "Room-a-b-c"],
  ["Room 1", "Room-1"],
  ["../..", "Room-"],
  ["Café №1", "Room-Café-№1"],
  ["x".repeat(200), `Room-${"x".repeat(64)}`],
])("a drive for the room %j is called %s", (roomName, expected) => {
  expect(new DriveNames("/", new Memory()).nameFor("0123456789", roomName)).toBe(expected);
});

test("the name of a room that is gone is free again", () => {
  const names = new DriveNames("/", new Memory());
  names.nameFor("aaaaaaaaaaaa", "Workshop");
  names.keep(new Set());
  expect(names.nameFor("bbbbbbbbbbbb", "Workshop")).toBe("Room-Workshop");
});

test("what is no memory of ours is none", () => {
  const storage = new Memory();
  storage.setItem("embedenv-jupyter:drives:/", "[broken");
  expect(new DriveNames("/", storage).all().size).toBe(0);
});
