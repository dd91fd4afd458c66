import { MainAreaWidget } from "@jupyterlab/apputils";
import type { LabIcon } from "@jupyterlab/ui-components";
import type { Widget } from "@lumino/widgets";

export interface ITabOptions {
  readonly icon: LabIcon;
  readonly label: string;
  /** What screen readers call the content. */
  readonly name: string;
}

/** Something in a tab of the main area, with a toolbar above it. */
export function tab<T extends Widget>(content: T, options: ITabOptions): MainAreaWidget<T> {
  const panel = new MainAreaWidget({ content });
  panel.title.icon = options.icon;
  panel.title.label = options.label;
  panel.title.closable = true;
  // JupyterLab calls the content of each tab the same.
  content.node.setAttribute("aria-label", options.name);
  return panel;
}
