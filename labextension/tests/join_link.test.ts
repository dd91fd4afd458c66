/** Links that let people in: the key is in the fragment, and does not stay in the address. */

import assert from "node:assert/strict";

import { test } from "@jest/globals";

import { UsageError } from "../src/errors.js";
import { joinLink, keyOf, takeKeyFromAddress } from "../src/join_link.js";

function page(
  hash: string,
): Parameters<typeof takeKeyFromAddress>[0] & { readonly urls: unknown[] } {
  const urls: unknown[] = [];
  const replaceState = (_: unknown, __: string, url?: string | URL | null): number =>
    urls.push(url);
  const location = { hash, pathname: "/user/ada/lab", search: "?reset" };
  return { urls, location, history: { state: null, replaceState } };
}

test("a link has the key in its fragment, and no token of the server", () => {
  const link = joinLink("https://hub.example/user/ada/lab?token=secret&reset", "k_1-Z");
  assert.equal(link, "https://hub.example/user/ada/lab#embedenv-join=k_1-Z");
  assert.equal(keyOf(link), "k_1-Z");
});

test("a key is taken as it is typed, spaces around it aside", () => {
  assert.equal(keyOf("  k_1-Z\n"), "k_1-Z");
});

test("what is no key is refused with what one looks like", () => {
  const refused = [
    "",
    "a b",
    "../api/rooms",
    "https://hub.example/lab",
    "#embedenv-join=",
    "x".repeat(257),
  ];
  for (const text of refused) {
    assert.throws(
      () => keyOf(text),
      (error) => error instanceof UsageError && error.message.includes("#embedenv-join=KEY"),
      text,
    );
  }
});

test("the address is cleared as soon as the key is read, of a bad key as well", () => {
  const good = page("#embedenv-join=k1&other=2");
  assert.equal(takeKeyFromAddress(good), "k1");
  assert.deepEqual(good.urls, ["/user/ada/lab?reset"]);
  const bad = page("#embedenv-join=a%2Fb");
  assert.equal(takeKeyFromAddress(bad), null);
  assert.deepEqual(bad.urls, ["/user/ada/lab?reset"]);
});

test("other fragments are left alone", () => {
  const other = page("#a-heading");
  assert.equal(takeKeyFromAddress(other), null);
  assert.deepEqual(other.urls, []);
});
