import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILauncher } from "@jupyterlab/launcher";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import type { IDisposable } from "@lumino/disposable";

import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { roomIcon } from "../icons.js";
import { IRooms } from "../tokens.js";

const OPEN_ROOM = "embedenv:open-room";

export const launcherPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:launcher",
  description: "Puts New Room, Join Room and every open room into the launcher.",
  autoStart: true,
  requires: [IRooms],
  // Notebook 7 has none, and complains of plugins that require one.
  optional: [ILauncher, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    launcher: ILauncher | null,
    translator: ITranslator | null,
  ): void => {
    if (launcher === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;

    commands.addCommand(OPEN_ROOM, {
      label: (args) => rooms.get(textOf(args["room"]) ?? "")?.name ?? trans.__("Open Room"),
      caption: (args) => {
        const room = rooms.get(textOf(args["room"]) ?? "");
        return room === undefined
          ? trans.__("Enter a room")
          : trans.__("Enter the room %1", room.name);
      },
      icon: roomIcon,
      describedBy: describedBy({ room: trans.__("The id of the room.") }),
      isVisible: (args) => rooms.get(textOf(args["room"]) ?? "") !== undefined,
      execute: async (args) => {
        const id = textOf(args["room"]) ?? "";
        rooms.get(id)?.enter();
        await commands.execute(CommandIDs.showRooms);
        if (commands.hasCommand(CommandIDs.openTerminal)) {
          await commands.execute(CommandIDs.openTerminal, { room: id });
        }
      },
    });

    [CommandIDs.newRoom, CommandIDs.joinRoom].forEach((command, rank) => {
      launcher.add({ command, args: { isLauncher: true }, category: CATEGORY, rank });
    });

    /** A card for each name of each room: the launcher asks for a label only when it adds one. */
    const cards = new Map<string, IDisposable>();
    const show = (): void => {
      const wanted = new Map(rooms.all.map((room) => [`${room.id} ${room.name}`, room.id]));
      for (const [key, card] of cards) {
        if (!wanted.has(key)) {
          cards.delete(key);
          card.dispose();
        }
      }
      for (const [key, room] of wanted) {
        if (!cards.has(key)) {
          const card = { command: OPEN_ROOM, args: { room }, category: CATEGORY, rank: 10 };
          cards.set(key, launcher.add(card));
        }
      }
    };
    rooms.changed.connect(show, rooms);
    show();
  },
};
