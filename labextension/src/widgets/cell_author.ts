/** The line below the code of a cell: who ran it last. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import type { ICellRun } from "../protocols/rooms.js";
import { personNode } from "./person.js";

export class CellAuthor extends Widget {
  private run: ICellRun | null = null;
  private isOwn = false;

  constructor(private readonly trans: TranslationBundle) {
    super();
    this.addClass("embedenv-CellAuthor");
    this.hide();
  }

  /** Shows a run, as one of this user's own or of somebody else; `null` hides the line. */
  present(run: ICellRun | null, isOwn: boolean): void {
    this.setHidden(run === null);
    if (run === null || (run === this.run && isOwn === this.isOwn)) {
      return;
    }
    this.run = run;
    this.isOwn = isOwn;
    const { trans } = this;
    const text = isOwn ? trans.__("Run by you") : trans.__("Run by %1", run.author.user);
    this.node.replaceChildren(personNode(run.author.color, text));
    this.node.title = new Date(run.at * 1000).toLocaleString();
  }
}
