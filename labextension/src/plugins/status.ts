import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { CommandIDs } from "../commands.js";
import { IRooms, ISettings } from "../tokens.js";
// The status bar shows it from the start.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { Status } from "../widgets/status.js";

export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:status",
  description: "Shows the connection to the gateway in the status bar.",
  autoStart: true,
  requires: [IRooms, ISettings],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    settings: ISettings,
    statusBar: IStatusBar | null,
    translator: ITranslator | null,
  ): void => {
    if (statusBar === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    const item = new Status({
      rooms,
      trans,
      open: () => {
        const monitor = commands.hasCommand(CommandIDs.showLatency);
        void commands.execute(monitor ? CommandIDs.showLatency : CommandIDs.showRooms);
      },
    });
    statusBar.registerStatusItem(statusPlugin.id, {
      item,
      align: "left",
      rank: 10,
      isActive: () => settings.now.statusBar,
      activeStateChanged: settings.changed,
    });
  },
};
