/** The files of a room that is started anew: saved before, and open again after, in the room that goes on. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { IDocumentManager } from "@jupyterlab/docmanager";
import type { Widget } from "@lumino/widgets";

import type { IRoomDrives } from "./drives.js";

export class OpenFiles {
  private readonly widgets: readonly Widget[];
  /** In the room; what was in front comes last. */
  private readonly paths: readonly string[];

  /** Those of one room that are open now. */
  constructor(
    shell: JupyterFrontEnd.IShell,
    private readonly documents: IDocumentManager,
    private readonly drives: IRoomDrives,
    roomId: string,
  ) {
    const isFront = (widget: Widget): number => (widget === shell.currentWidget ? 1 : 0);
    this.widgets = [...shell.widgets("main")]
      .filter((widget) => {
        const path = documents.contextForWidget(widget)?.path;
        return path !== undefined && drives.roomIdAt(path) === roomId;
      })
      .sort((one, other) => isFront(one) - isFront(other));
    this.paths = this.widgets.flatMap(
      (widget) => documents.contextForWidget(widget)?.localPath ?? [],
    );
  }

  /** Puts into the room what is only here so far, and closes them. */
  async close(): Promise<void> {
    for (const widget of this.widgets) {
      const context = this.documents.contextForWidget(widget);
      if (context?.model.dirty === true && !context.model.readOnly) {
        await context.save();
      }
    }
    this.widgets.forEach((widget) => {
      widget.dispose();
    });
  }

  /** Opens them in a room where they lie at the same paths. */
  open(roomId: string): void {
    for (const path of this.paths) {
      const there = this.drives.pathOf(roomId, path);
      if (there !== undefined) {
        this.documents.openOrReveal(there);
      }
    }
  }
}
