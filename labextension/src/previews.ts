/** Pages that programs of a room serve: the gateway's routes about them. */

import { URLExt } from "@jupyterlab/coreutils";
import type { ServerConnection } from "@jupyterlab/services";

import { Fields } from "./protocols/fields.js";
import { request } from "./request.js";

/** An address that shows a port to whoever has it. */
export interface IPreview {
  readonly capability: string;
  readonly port: number;
  /** UTC seconds. */
  readonly expires_at: number;
  /** Absolute. */
  readonly url: string;
}

export class PreviewsApi {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly roomId: string,
  ) {}

  /** Makes an address that holds for so many seconds, at most 7 days; without them for a day. */
  async make(port: number, expires_s?: number): Promise<IPreview> {
    const wanted = expires_s === undefined ? { port } : { port, expires_s };
    return this.read(await request(this.settings, "POST", this.path(), wanted));
  }

  /** All that hold now, of all ports. */
  async all(): Promise<readonly IPreview[]> {
    const answer = await request(this.settings, "GET", this.path());
    return Fields.list(answer).map((fields) => this.parse(fields));
  }

  /** Takes an address back: it shows nothing from now on. */
  async revoke(capability: string): Promise<void> {
    await request(this.settings, "DELETE", [...this.path(), capability]);
  }

  private path(): readonly string[] {
    return ["rooms", this.roomId, "api", "previews"];
  }

  private read(answer: unknown): IPreview {
    return this.parse(Fields.of(answer));
  }

  private parse(fields: Fields): IPreview {
    const capability = fields.text("capability");
    // As this browser reaches the server, which a proxy may serve somewhere else than it knows.
    const url = URLExt.join(this.settings.baseUrl, "embedenv/previews", capability);
    return {
      capability,
      port: fields.integer("port"),
      expires_at: fields.number("expires_at"),
      url: `${url}/`,
    };
  }
}
