import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";

import { FrameError } from "../src/errors.js";
import { DocumentConversation } from "../src/protocols/documents.js";

/** One of those who write: what it says goes where `deliver` takes it. */
class Writer {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText("source");
  readonly awareness = new Awareness(this.doc);
  readonly told: string[] = [];
  mayWrite = true;
  readonly conversation = new DocumentConversation(
    { doc: this.doc, awareness: this.awareness, mayWrite: () => this.mayWrite },
    {
      opened: () => this.told.push("opened"),
      pong: (id) => this.told.push(id),
      said: () => this.told.push("said"),
    },
  );

  drain(): Uint8Array[] {
    return this.conversation.framesToSend().filter((frame) => typeof frame !== "string");
  }

  end(): void {
    this.conversation.close();
    this.awareness.destroy();
  }
}

/** Takes messages both ways until nobody has anything to say. */
function settle(one: Writer, other: Writer): void {
  for (;;) {
    const [there, back] = [one.drain(), other.drain()];
    if (there.length + back.length === 0) {
      return;
    }
    there.forEach((frame) => other.conversation.receiveBytes(frame));
    back.forEach((frame) => one.conversation.receiveBytes(frame));
  }
}

let ada: Writer;
let bob: Writer;

function connect(): void {
  ada.conversation.connected();
  bob.conversation.connected();
  settle(ada, bob);
}

beforeEach(() => {
  ada = new Writer();
  bob = new Writer();
});

afterEach(() => {
  ada.end();
  bob.end();
});

test("what was typed before there was a connection is merged", () => {
  ada.text.insert(0, "from Ada ");
  bob.text.insert(0, "from Bob ");
  connect();
  expect(ada.text.toJSON()).toBe(bob.text.toJSON());
  expect(ada.text.toJSON()).toContain("from Ada ");
  expect(ada.text.toJSON()).toContain("from Bob ");
  expect(ada.told).toContain("opened");
  expect(ada.conversation.phase).toBe("open");
});

test("a change goes out at once, and does not come back", () => {
  connect();
  ada.text.insert(0, "x");
  const [frame, ...others] = ada.drain();
  expect(others).toEqual([]);
  expect(frame).toBeDefined();
  bob.conversation.receiveBytes(frame ?? new Uint8Array());
  expect(bob.text.toJSON()).toBe("x");
  expect(bob.drain()).toEqual([]);
});

test("what is typed while the connection is cut is there after it", () => {
  connect();
  ada.conversation.lost();
  bob.conversation.lost();
  ada.text.insert(0, "offline ");
  bob.text.insert(0, "meanwhile ");
  expect(ada.drain()).toEqual([]);
  connect();
  expect(ada.text.toJSON()).toBe(bob.text.toJSON());
  expect(ada.text.length).toBe("offline meanwhile ".length);
});

test("who may not write asks, and says nothing", () => {
  ada.mayWrite = false;
  ada.text.insert(0, "not sent");
  bob.text.insert(0, "seen");
  ada.awareness.setLocalStateField("user", { name: "Ada" });
  connect();
  ada.text.insert(0, "neither");
  settle(ada, bob);
  expect(bob.text.toJSON()).toBe("seen");
  expect(ada.text.toJSON()).toContain("seen");
  expect([...bob.awareness.getStates().keys()]).toEqual([bob.doc.clientID]);
});

test("others are seen, and forgotten when the connection is lost", () => {
  bob.awareness.setLocalStateField("user", { name: "Bob" });
  connect();
  expect(ada.awareness.getStates().get(bob.doc.clientID)).toEqual({ user: { name: "Bob" } });
  bob.awareness.setLocalStateField("cursors", [1]);
  settle(ada, bob);
  expect(ada.awareness.getStates().get(bob.doc.clientID)).toMatchObject({ cursors: [1] });
  ada.conversation.lost();
  expect(ada.awareness.getStates().has(bob.doc.clientID)).toBe(false);
});

test("who leaves is gone at the others", () => {
  connect();
  bob.conversation.leave();
  settle(ada, bob);
  expect(ada.awareness.getStates().has(bob.doc.clientID)).toBe(false);
});

test("a ping is answered, and brings what was missed", () => {
  connect();
  bob.doc.transact(() => bob.text.insert(0, "lost on the way"));
  bob.drain();
  ada.conversation.ping("ping-1");
  settle(ada, bob);
  expect(ada.told).toContain("ping-1");
  expect(ada.text.toJSON()).toBe("lost on the way");
});

test.each([[[]], [[0]], [[0, 7, 0]], [[0, 1, 9, 1]], [[1, 5, 1]]])("%j is no message", (bytes) => {
  ada.conversation.connected();
  expect(() => {
    ada.conversation.receiveBytes(Uint8Array.from(bytes));
  }).toThrow(FrameError);
});

test("an answered ping says that the other side has what was typed before it", () => {
  connect();
  ada.text.insert(0, "typed ");
  ada.conversation.ping("p1");
  const heard: string[] = [];
  for (const frame of ada.drain()) {
    bob.conversation.receiveBytes(frame);
    bob.drain().forEach((answer) => {
      ada.conversation.receiveBytes(answer);
    });
    heard.push(`${ada.told.includes("p1") ? "answered" : "not yet"}: ${bob.text.toJSON()}`);
  }
  expect(heard.at(-1)).toBe("answered: typed ");
  expect(heard).not.toContain("answered: ");
});

test("text is no message, and other kinds are those of later versions", () => {
  expect(() => {
    ada.conversation.receive("{}");
  }).toThrow(FrameError);
  ada.conversation.receiveBytes(Uint8Array.from([42, 1, 2]));
  expect(ada.conversation.progress).toBe(1);
});
