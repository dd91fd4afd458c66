/** Files as text that people can compare. */

import type { Contents } from "@jupyterlab/services";

import { Fields } from "./protocols/fields.js";

/** The text of a file, `null` for what is none; of a notebook the sources of its cells, without the outputs. */
export function comparable(model: Partial<Contents.IModel>): string | null {
  const content: unknown = model.content;
  if (typeof content === "string") {
    return model.format === "base64" ? null : content;
  }
  return model.type === "notebook" ? sourcesOf(Fields.of(content)) : null;
}

function sourcesOf(notebook: Fields): string {
  return notebook
    .children("cells")
    .map((cell) => `# %% [${cell.text("cell_type", "")}]\n${sourceOf(cell)}\n`)
    .join("\n");
}

/** The format allows a text, or a list of lines that keep their ends. */
function sourceOf(cell: Fields): string {
  try {
    return cell.text("source", "");
  } catch {
    return cell.texts("source").join("");
  }
}
