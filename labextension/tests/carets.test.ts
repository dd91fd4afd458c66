import { expect, test } from "@jest/globals";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";

import { inkOn, othersIn } from "../src/carets.js";

function setUp(state: Record<string, unknown>): { text: Y.Text; awareness: Awareness } {
  const doc = new Y.Doc();
  const text = doc.getText("source");
  text.insert(0, "one two three");
  const awareness = new Awareness(doc);
  awareness.states.set(awareness.clientID + 1, state);
  return { text, awareness };
}

function at(text: Y.Text, index: number): unknown {
  return Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index));
}

test("a caret moves with the text around it", () => {
  const { text, awareness } = setUp({});
  const user = { name: "bob", display_name: "Bob", color: "#00ff00" };
  const cursors = [{ anchor: at(text, 4), head: at(text, 7) }];
  awareness.states.set(awareness.clientID + 1, { user, cursors });
  text.insert(0, "zero ");
  const place = JSON.stringify(cursors[0]);
  expect(othersIn(text, awareness)).toEqual([
    { name: "Bob", color: "#00ff00", selections: [{ anchor: 9, head: 12, place }] },
  ]);
  awareness.destroy();
});

test.each([
  [{}],
  [{ user: "Bob", cursors: "everywhere" }],
  [{ user: { name: 7, color: "red;} body{display:none" }, cursors: [null, 1, { anchor: 1 }] }],
  [{ user: null, cursors: [{ anchor: { type: "x" }, head: { item: 3 } }] }],
])("what others write of themselves is not trusted: %j", (state) => {
  const { text, awareness } = setUp(state);
  expect(othersIn(text, awareness)).toEqual([{ name: "", color: "#808080", selections: [] }]);
  awareness.destroy();
});

test.each([
  ["#ffffff", "#000000"],
  ["#ffff00", "#000000"],
  ["#000080", "#ffffff"],
  ["#b00020", "#ffffff"],
])("a name on %s is written in %s", (color, ink) => {
  expect(inkOn(color)).toBe(ink);
});
