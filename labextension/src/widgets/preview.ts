/** A page that a program of a room serves, in a tab. */

import { MainAreaWidget } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { html5Icon, IFrame } from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";

import type { IPreview, PreviewsApi } from "../previews.js";
import type { IWhere } from "../protocols/rooms.js";
import { ToolButton } from "./tool_button.js";

/** Without the origin: what a room serves may be anything, and sees nothing of Jupyter. */
const SANDBOX: IFrame.SandboxExceptions[] = [
  "allow-scripts",
  "allow-forms",
  "allow-popups",
  "allow-modals",
  "allow-downloads",
];
/** An address that ends sooner than this is not worth showing. */
const NEARLY_OVER_S = 60;

export interface IPreviewOptions {
  readonly api: PreviewsApi;
  readonly roomId: string;
  readonly roomName: string;
  readonly port: number;
  readonly trans: TranslationBundle;
  readonly commands: CommandRegistry;
  /** What stands in the toolbar, in order. */
  readonly tools: readonly string[];
  /** UTC milliseconds. */
  readonly now: () => number;
}

export class Preview extends MainAreaWidget<IFrame> {
  readonly roomId: string;
  readonly roomName: string;
  readonly port: number;
  readonly api: PreviewsApi;
  private preview: Promise<IPreview> | null = null;

  constructor(private readonly options: IPreviewOptions) {
    super({ content: new IFrame({ sandbox: SANDBOX, referrerPolicy: "no-referrer" }) });
    const { api, port, roomId, roomName, trans } = options;
    this.api = api;
    this.port = port;
    this.roomId = roomId;
    this.roomName = roomName;
    this.id = `embedenv-preview-${roomId}-${port}`;
    this.addClass("embedenv-Preview");
    this.title.label = trans.__("%1: port %2", roomName, port);
    this.title.caption = this.title.label;
    this.title.icon = html5Icon;
    this.title.closable = true;
    this.content.node.setAttribute("aria-label", this.title.label);
    this.content.node.querySelector("iframe")?.setAttribute("title", this.title.label);
    for (const command of options.tools) {
      this.toolbar.addItem(command, this.button(command));
    }
  }

  /** What this shows of the room. */
  get where(): IWhere {
    return { kind: "preview", path: String(this.port) };
  }

  /** The address that is shown. */
  async address(): Promise<IPreview> {
    const { now } = this.options;
    const known = await this.preview?.catch(() => null);
    if (known && known.expires_at - now() / 1000 > NEARLY_OVER_S) {
      return known;
    }
    this.preview = this.api.make(this.port);
    return this.preview;
  }

  /** Loads the page anew, under another address where the one that was shown has ended. */
  async reload(): Promise<void> {
    const { url } = await this.address();
    if (!this.isDisposed) {
      // The same address again would not be loaded again.
      this.content.url = "about:blank";
      this.content.url = url;
    }
  }

  /** The address has been taken back. */
  forget(): void {
    this.preview = null;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      // Nobody else has this address; the room may be gone, and it with it.
      void this.preview
        ?.then(({ capability }) => this.api.revoke(capability))
        .catch(() => undefined);
      this.preview = null;
    }
    super.dispose();
  }

  private button(command: string): ToolButton {
    const { commands } = this.options;
    const args = { room: this.roomId, port: this.port };
    const icon = commands.icon(command, args);
    return new ToolButton({
      ...(typeof icon === "object" ? { icon } : {}),
      label: typeof icon === "object" ? "" : commands.label(command, args),
      tooltip: commands.caption(command, args),
      onClick: () => void commands.execute(command, args),
    });
  }
}
