/** The line in the status bar that says who is followed; a click ends it. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import type { Following } from "../following.js";
import { personNode } from "./person.js";

export class FollowingItem extends Widget {
  private readonly button = document.createElement("button");

  constructor(
    private readonly following: Following,
    private readonly trans: TranslationBundle,
  ) {
    super();
    this.addClass("embedenv-Following");
    this.addClass("jp-mod-highlighted");
    this.node.setAttribute("role", "status");
    this.button.type = "button";
    this.button.title = trans.__("Escape or a click ends it");
    this.button.addEventListener("click", () => {
      following.stop();
    });
    following.changed.connect(this.draw, this);
  }

  private draw(): void {
    const { following, trans } = this;
    if (following.now === null) {
      this.node.replaceChildren();
      return;
    }
    const { color, user } = following.now.member;
    this.button.replaceChildren(personNode(color, trans.__("Following %1", user)));
    this.node.replaceChildren(this.button);
  }
}
