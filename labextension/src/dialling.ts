/** How our sockets about rooms are made: again and again, as long as the page is open. */

import type { ServerConnection } from "@jupyterlab/services";

import { DEFAULT_RETRY } from "./backoff.js";
import type { IConnectionSettings, ITime, WebSocketFactory } from "./connection.js";

/** What the world is to a connection; tests bring their own. */
export interface IWorld {
  readonly WebSocket: WebSocketFactory;
  readonly time: ITime;
  readonly random: () => number;
}

export function worldOf(settings: ServerConnection.ISettings, time: ITime): IWorld {
  return { WebSocket: settings.WebSocket, time, random: Math.random };
}

const RETRY = { ...DEFAULT_RETRY, giveUpMs: Infinity, firstMs: Infinity };

export function dialling(
  world: IWorld,
  url: string,
  finalCodes: ReadonlySet<number>,
): IConnectionSettings {
  return {
    ...world,
    url,
    finalCodes,
    retry: RETRY,
    greetingMs: 10_000,
    pingEveryMs: 5_000,
    pingDeadlineMs: 10_000,
  };
}
