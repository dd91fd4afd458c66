import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILayoutRestorer } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { CATEGORY, CommandIDs, describedBy } from "../commands.js";
import { roomIcon } from "../icons.js";
import { IRooms } from "../tokens.js";
// The side bar shows it from the start.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { RoomsPanel } from "../widgets/rooms_panel.js";

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:panel",
  description: "Shows the rooms in a side panel.",
  autoStart: true,
  requires: [IRooms],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
  ): void => {
    const used = translator ?? nullTranslator;
    const trans = used.load("embedenv_jupyter");
    const { commands, shell } = app;
    const panel = new RoomsPanel({ rooms, commands, translator: used, trans });
    shell.add(panel, "left", { rank: 300, type: "Embedenv" });
    restorer?.add(panel, panel.id);
    commands.addCommand(CommandIDs.showRooms, {
      label: trans.__("Show Rooms"),
      caption: trans.__("Show the side panel with all rooms"),
      icon: roomIcon,
      describedBy: describedBy({}),
      execute: () => {
        shell.activateById(panel.id);
      },
    });
    palette?.addItem({ command: CommandIDs.showRooms, category: CATEGORY });
  },
};
