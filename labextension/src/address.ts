/** Where the Engine protocol is served. */

import { UsageError } from "./errors.js";

const SCHEMES: Readonly<Record<string, string>> = {
  "http:": "ws:",
  "https:": "wss:",
  "ws:": "ws:",
  "wss:": "wss:",
};
/** Jupyter's own pages: people paste what the browser shows. */
const PAGE = /\/(?:lab|tree|notebooks|doc)(?:\/.*)?$/;

/**
 * Turns what a user wrote into the address of the WebSocket: `https://host/base/` and
 * `https://host/base/lab` are served at `wss://host/base/ws`; an address that ends in `/ws` is taken as it is.
 */
export function engineUrl(address: string): string {
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(address) ? address : `https://${address}`);
  } catch {
    throw new UsageError(`"${address}" is no address; write https://host/ or wss://host/ws`);
  }
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined) {
    throw new UsageError(`${url.protocol}// is not served; write https:// or wss://`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new UsageError("an address has no user and no password; the key is an option");
  }
  const base = url.pathname.replace(PAGE, "/");
  const path = base.endsWith("/ws") ? base : `${base}${base.endsWith("/") ? "" : "/"}ws`;
  return `${scheme}//${url.host}${path}`;
}
