/** Below the files of a room: which of them changed while the last run went on. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import type { IRunChanges } from "../changes.js";

/** More are not of use to people. */
const MAX_SHOWN = 50;

export class ChangedFiles extends Widget {
  private readonly details = document.createElement("details");
  private readonly summary = document.createElement("summary");
  private readonly about = document.createElement("p");
  private readonly list = document.createElement("ul");

  constructor(
    private readonly trans: TranslationBundle,
    private readonly open: (path: string) => void,
  ) {
    super();
    this.addClass("embedenv-ChangedFiles");
    this.details.open = true;
    this.details.append(this.summary, this.about, this.list);
    this.node.append(this.details);
    this.hide();
  }

  /** Shows another run. */
  present(changes: IRunChanges | null): void {
    const { trans } = this;
    const paths = changes?.paths ?? [];
    this.setHidden(changes === null || paths.length === 0);
    if (changes === null) {
      return;
    }
    this.summary.textContent = trans.__("Changed during the last run (%1)", paths.length);
    const command = changes.command.split("\n", 1)[0] ?? "";
    this.about.textContent = changes.hasEnded
      ? trans.__("%1 ran: %2", changes.user, command)
      : trans.__("%1 runs: %2", changes.user, command);
    this.about.title = changes.command;
    const shown = paths.slice(-MAX_SHOWN).reverse();
    this.list.replaceChildren(...shown.map((path) => this.entry(path)));
    if (paths.length > shown.length) {
      const more = document.createElement("li");
      more.textContent = trans.__("and %1 more", paths.length - shown.length);
      this.list.append(more);
    }
  }

  /** Opens the list and puts the focus on it. */
  reveal(): void {
    this.details.open = true;
    (this.list.querySelector("button") ?? this.summary).focus();
  }

  private entry(path: string): HTMLElement {
    const entry = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "embedenv-ChangedFiles-file";
    button.textContent = path;
    button.title = this.trans.__("Open %1", path);
    button.addEventListener("click", () => {
      this.open(path);
    });
    entry.append(button);
    return entry;
  }
}
