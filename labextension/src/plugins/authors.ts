import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IRooms, ISettings } from "../tokens.js";

export const authorsPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:authors",
  description: "Shows by each cell of a notebook in a room who ran it last.",
  autoStart: true,
  requires: [IRooms, ISettings, INotebookTracker],
  optional: [ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    rooms: IRooms,
    settings: ISettings,
    notebooks: INotebookTracker,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const follow = async (panel: NotebookPanel): Promise<void> => {
      const { NotebookAuthors } = await import("../widgets/notebook_authors.js");
      if (!panel.isDisposed) {
        const authors = new NotebookAuthors({ panel, rooms, settings, trans });
        panel.disposed.connect(() => {
          authors.dispose();
        });
      }
    };
    notebooks.forEach((panel) => void follow(panel));
    notebooks.widgetAdded.connect((_, panel) => void follow(panel));
  },
};
