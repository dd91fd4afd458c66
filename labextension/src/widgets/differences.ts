/** Two versions of a file side by side, in JupyterLab's own editor theme. Loaded when somebody looks. */

import type { EditorStateConfig } from "@codemirror/state";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { jupyterTheme } from "@jupyterlab/codemirror";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

export interface IVersions {
  /** What is in the room. */
  readonly theirs: string;
  /** What is to be saved. */
  readonly mine: string;
}

export class Differences extends Widget {
  private view: { destroy(): void } | null = null;

  constructor(
    private readonly versions: IVersions,
    private readonly trans: TranslationBundle,
  ) {
    super();
    this.addClass("embedenv-Differences");
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    void this.compare();
  }

  override dispose(): void {
    this.view?.destroy();
    super.dispose();
  }

  private async compare(): Promise<void> {
    const { trans, versions } = this;
    const { MergeView } = await import("@codemirror/merge");
    if (this.isDisposed) {
      return;
    }
    const side = (doc: string, label: string): EditorStateConfig => ({
      doc,
      extensions: [
        jupyterTheme,
        EditorView.lineWrapping,
        EditorState.readOnly.of(true),
        EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
      ],
    });
    const [theirs, mine] = [trans.__("In the room"), trans.__("Yours")];
    const headings = document.createElement("div");
    headings.className = "embedenv-Differences-headings";
    headings.append(heading(theirs), heading(mine));
    this.node.append(headings);
    this.view = new MergeView({
      a: side(versions.theirs, theirs),
      b: side(versions.mine, mine),
      parent: this.node,
      collapseUnchanged: { margin: 3, minSize: 6 },
      gutter: true,
    });
  }
}

function heading(text: string): HTMLElement {
  const node = document.createElement("div");
  node.className = "embedenv-Differences-heading";
  node.textContent = text;
  return node;
}
