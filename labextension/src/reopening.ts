/** What is open of a room that is left, or started anew: saved and closed before, and open again after that. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { IDocumentManager } from "@jupyterlab/docmanager";
import type { Widget } from "@lumino/widgets";

import { documentOf } from "./documents.js";
import type { IRoomDrives } from "./drives.js";

/** Saves what is only here so far, then closes all; rejects, with all of it open, where something is not saved. */
export async function putAway(
  widgets: readonly Widget[],
  documents: IDocumentManager | null,
): Promise<void> {
  for (const widget of widgets) {
    const context = documents?.contextForWidget(widget);
    if (context?.model.dirty === true && !context.model.readOnly) {
      await context.save();
    }
    if (context !== undefined) {
      await documentOf(context.model.sharedModel)?.settled();
    }
  }
  widgets.forEach((widget) => {
    widget.dispose();
  });
}

/** The files of a room that is started anew. */
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

  /** Saves and closes them; see {@link putAway}. */
  async close(): Promise<void> {
    await putAway(this.widgets, this.documents);
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
