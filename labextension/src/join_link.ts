/**
 * Links that let people into a room: the key is in the fragment, which browsers never send to anybody, and
 * it leaves the address bar and the history as soon as it is read.
 */

import { UsageError } from "./errors.js";

const NAME = "embedenv-join";
const KEY = /^[\w-]{1,256}$/;

/** Makes a link to the page at `pageUrl` that joins by `key`. */
export function joinLink(pageUrl: string, key: string): string {
  const url = new URL(pageUrl);
  // A token of the server must not go to others with the link.
  url.search = "";
  url.hash = `${NAME}=${encodeURIComponent(key)}`;
  return url.href;
}

/** The key in what somebody typed: the key itself, or a link that has one. Throws a `UsageError` for neither. */
export function keyOf(text: string): string {
  const trimmed = text.trim();
  const key = trimmed.includes("#") ? keyInHash(trimmed.slice(trimmed.indexOf("#"))) : trimmed;
  if (key === null || !KEY.test(key)) {
    throw new UsageError(
      `That is no join key, and no link that ends in #${NAME}=KEY. A key has letters, digits, _ and - only.`,
    );
  }
  return key;
}

/** Takes the key out of the page's address; `null` where there is none. */
export function takeKeyFromAddress(page: {
  readonly location: { readonly hash: string; readonly pathname: string; readonly search: string };
  readonly history: Pick<History, "replaceState" | "state">;
}): string | null {
  const { history, location } = page;
  const key = keyInHash(location.hash);
  if (key === null) {
    return null;
  }
  history.replaceState(history.state, "", `${location.pathname}${location.search}`);
  return KEY.test(key) ? key : null;
}

function keyInHash(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get(NAME);
}
