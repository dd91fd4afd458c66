/** Asks the gateway's own routes below `embedenv/`; what goes wrong is an error with a sentence for people. */

import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";

import { FrameError, messageOf } from "./errors.js";
import { Fields } from "./protocols/fields.js";

/** The gateway refused a request, or there was no gateway; `message` is a sentence that can be shown. */
export class RequestError extends Error {
  override readonly name: string = "RequestError";

  constructor(
    message: string,
    /** Of HTTP; 0 where there was no answer. */
    readonly status: number,
    /** A name for programs, such as `UnknownKeyError`; empty where the answer had none. */
    readonly reason: string,
  ) {
    super(message);
  }
}

/** The address of one of the gateway's routes; each part is one step of the path. */
export function urlOf(settings: ServerConnection.ISettings, ...parts: readonly string[]): string {
  return URLExt.join(settings.baseUrl, "embedenv", ...parts.map(encodeURIComponent));
}

/** The address of one of the gateway's sockets, with the token that browsers cannot put into a header. */
export function socketUrlOf(
  settings: ServerConnection.ISettings,
  ...parts: readonly string[]
): string {
  const url = URLExt.join(settings.wsUrl, "embedenv", ...parts.map(encodeURIComponent));
  const { appendToken, token } = settings;
  return appendToken && token !== "" ? `${url}?token=${encodeURIComponent(token)}` : url;
}

/** Settings with which JupyterLab's own clients find a room to be a Jupyter server. */
export function settingsOfRoom(
  settings: ServerConnection.ISettings,
  roomId: string,
): ServerConnection.ISettings {
  const under = (base: string): string =>
    `${URLExt.join(base, "embedenv/rooms", encodeURIComponent(roomId))}/`;
  return ServerConnection.makeSettings({
    ...settings,
    baseUrl: under(settings.baseUrl),
    wsUrl: under(settings.wsUrl),
  });
}

/** Sends a request with a JSON body; resolves to the JSON of the answer, `null` where it has none. */
export async function request(
  settings: ServerConnection.ISettings,
  method: "GET" | "POST" | "PATCH" | "DELETE",
  parts: readonly string[],
  body?: unknown,
): Promise<unknown> {
  const response = await answered(settings, method, parts, body);
  const text = await response.text();
  if (text === "") {
    return null;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestError("The gateway answered with what is no JSON.", response.status, "");
  }
}

/** Posts a request whose answer comes bit by bit: text, cut anywhere between two characters. */
export async function* streamed(
  settings: ServerConnection.ISettings,
  parts: readonly string[],
): AsyncGenerator<string> {
  const response = await answered(settings, "POST", parts, {});
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const piece = await reader?.read();
      if (piece === undefined || piece.done) {
        return;
      }
      yield piece.value;
    }
  } finally {
    await reader?.cancel();
  }
}

async function answered(
  settings: ServerConnection.ISettings,
  method: string,
  parts: readonly string[],
  body?: unknown,
): Promise<Response> {
  const init: RequestInit =
    body === undefined ? { method } : { method, body: JSON.stringify(body) };
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(urlOf(settings, ...parts), init, settings);
  } catch (error) {
    throw new RequestError(messageOf(error), 0, "");
  }
  if (!response.ok) {
    throw refusal(response, await response.text());
  }
  return response;
}

function refusal(response: Response, text: string): RequestError {
  try {
    const fields = Fields.parse(text);
    return new RequestError(
      sentence(fields.text("message")),
      response.status,
      fields.text("reason", ""),
    );
  } catch (error) {
    if (!(error instanceof FrameError)) {
      throw error;
    }
    // A proxy answered, or a server without this extension.
    const status = `${response.status} ${response.statusText}`.trim();
    return new RequestError(`The server answered ${status}.`, response.status, "");
  }
}

/** The gateway's errors begin as parts of a sentence do. */
function sentence(message: string): string {
  const text = message.trim();
  const first = text.charAt(0).toUpperCase();
  return `${first}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}
