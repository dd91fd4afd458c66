/** Tickets: what this page says to the published protocols in place of a key, which it must not hold. */

import type { ServerConnection } from "@jupyterlab/services";

import { Fields } from "./protocols/fields.js";
import { request } from "./request.js";

export interface ITicket {
  /** Good for one connection or request, for a minute; the secret key, where a protocol asks for two. */
  readonly ticket: string;
  /** The public key, where a protocol asks for two. */
  readonly publicKey: string;
}

/** Asks the gateway for one, with the login of this page. */
export async function newTicket(settings: ServerConnection.ISettings): Promise<ITicket> {
  const fields = Fields.of(await request(settings, "POST", ["api", "tickets"], {}));
  return { ticket: fields.text("ticket"), publicKey: fields.text("public_key") };
}
