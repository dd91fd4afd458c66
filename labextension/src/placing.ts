import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { DocumentRegistry } from "@jupyterlab/docregistry";
import type { Widget } from "@lumino/widgets";

/** Puts a widget into the main area, or below it where that holds one thing only, as in Notebook 7. */
export function place(
  shell: JupyterFrontEnd.IShell,
  widget: Widget,
  options: DocumentRegistry.IOpenOptions,
): void {
  shell.add(widget, "main", options);
  if (!widget.isAttached) {
    shell.add(widget, "down", options);
  }
}
