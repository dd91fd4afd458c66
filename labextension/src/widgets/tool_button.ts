/** Buttons of toolbars that screen readers call buttons. */

import { Uploader } from "@jupyterlab/filebrowser";
import { ToolbarButton } from "@jupyterlab/ui-components";
import * as React from "react";

/** JupyterLab says of its own that it is not pressed, though nothing presses it for longer than a click. */
export class ToolButton extends ToolbarButton {
  override render(): React.JSX.Element {
    return unswitched(super.render());
  }
}

export class UploadButton extends Uploader {
  override render(): React.JSX.Element {
    return unswitched(super.render());
  }
}

function unswitched(button: React.JSX.Element): React.JSX.Element {
  return React.cloneElement(button, { pressed: undefined });
}
