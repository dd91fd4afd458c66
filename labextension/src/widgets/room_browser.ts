/** What a room's files have beyond JupyterLab's own file browser: marks on those that the last run changed. */

import { DirListing } from "@jupyterlab/filebrowser";
import type { TranslationBundle } from "@jupyterlab/translation";
import { LabIcon } from "@jupyterlab/ui-components";

/** A folder with a door in it. */
export const roomFilesIcon = new LabIcon({
  name: "embedenv-jupyter:room-files",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M10 4H4c-1.1 0-2 .9-2 2v12c0 1.1.9 2 2 2h16c1.1 0 2-.9 2-2V8c0-1.1-.9-2-2-2h-8l-2-2zm-1 14v-8h6v8H9zm4.6-3.4a.8.8 0 1 0 0-1.2.8.8 0 0 0 0 1.2z"/>
</svg>`,
});

const CHANGED = "embedenv-mod-changed";

type Update = Parameters<DirListing.Renderer["updateItemNode"]>;

/** Draws the entries of a listing, with a mark on those that changed. */
export class ChangedRenderer extends DirListing.Renderer {
  constructor(
    private readonly isChanged: (path: string) => boolean,
    private readonly trans: TranslationBundle,
  ) {
    super();
  }

  override updateItemNode(...update: Update): void {
    super.updateItemNode(...update);
    const [node, model] = update;
    const isChanged = this.isChanged(model.path);
    node.classList.toggle(CHANGED, isChanged);
    const note = this.trans.__("Changed during the last run");
    // JupyterLab leaves a node alone whose entry is the same as before.
    const title = node.title.replace(`\n${note}`, "");
    node.title = isChanged ? `${title}\n${note}` : title;
  }
}
