import { expect, test } from "@jest/globals";
import { comparable } from "../src/comparable.js";

test("a text is compared as it is, and what is no text is not", () => {
  expect(comparable({ type: "file", format: "text", content: "a\n" })).toBe("a\n");
  expect(comparable({ type: "file", format: "base64", content: "aGk=" })).toBeNull();
  expect(comparable({ type: "directory", content: [] })).toBeNull();
});

test("of a notebook the sources are compared, however they are written", () => {
  const cells = [
    { cell_type: "markdown", source: "# Title" },
    { cell_type: "code", source: ["a = 1\n", "a"], outputs: [{ text: "1" }] },
  ];
  expect(comparable({ type: "notebook", format: "json", content: { cells } })).toBe(
    "# %% [markdown]\n# Title\n\n# %% [code]\na = 1\na\n",
  );
});
