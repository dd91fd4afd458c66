import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Dialog, ICommandPalette, showDialog } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { notebookIcon } from "@jupyterlab/ui-components";

import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { roomIcon } from "../icons.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms, ISettings } from "../tokens.js";
import type { INewRoomChoice, StartWith } from "../widgets/new_room.js";

export const openingPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:opening",
  description: "Opens rooms, and notebooks in them.",
  autoStart: true,
  requires: [IRooms, ISettings],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    settings: ISettings,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    const inRoom = new RoomCommands(commands, rooms, trans, palette);

    const begin = async (room: IRoom, startWith: StartWith): Promise<void> => {
      if (startWith === "notebook") {
        await commands.execute(CommandIDs.newNotebook, { room: room.id });
      } else if (startWith === "terminal") {
        await commands.execute(CommandIDs.openTerminal, { room: room.id });
      } else {
        await commands.execute(CommandIDs.showRooms);
      }
    };

    const choose = async (): Promise<INewRoomChoice | null> => {
      // What may be asked for is known a moment after the page is there.
      const [{ NewRoomBody }] = await Promise.all([
        import("../widgets/new_room.js"),
        rooms.account === null ? rooms.refresh() : null,
      ]);
      const { button, value } = await showDialog({
        title: trans.__("New room"),
        body: new NewRoomBody({
          trans,
          defaults: settings.now.newRoom,
          account: rooms.account,
          hasTerminals: commands.hasCommand(CommandIDs.openTerminal),
          name: freeName(rooms, (number) => trans.__("Room %1", number)),
        }),
        buttons: [
          Dialog.cancelButton({ label: trans.__("Cancel") }),
          Dialog.okButton({ label: trans.__("Open") }),
        ],
        focusNodeSelector: "input",
      });
      return button.accept ? value : null;
    };

    commands.addCommand(CommandIDs.newRoom, {
      label: (args) => (args["isLauncher"] === true ? trans.__("New Room") : trans.__("New Room…")),
      caption: trans.__("Open a sandboxed room for code, shells and files"),
      icon: roomIcon,
      describedBy: describedBy({
        name: trans.__("What the room is called; with it, no dialog is shown."),
      }),
      execute: async (args) => {
        const name = textOf(args["name"]);
        const choice: INewRoomChoice | null =
          name === null ? await choose() : { room: { name }, startWith: "nothing" };
        if (choice === null) {
          return null;
        }
        return inRoom.tell(trans.__("No room was opened"), async () => {
          const room = rooms.add(await rooms.api.create(choice.room));
          await begin(room, choice.startWith);
          return room.id;
        });
      },
    });

    inRoom.add(CommandIDs.newNotebook, {
      label: trans.__("New Notebook in Room"),
      icon: notebookIcon,
      role: "run",
      execute: async (room) => {
        room.enter();
        // The server has the kernel of a new room since it opened it; this browser has not.
        await app.serviceManager.kernelspecs.refreshSpecs();
        await commands.execute("notebook:create-new", { kernelName: `embedenv-room-${room.id}` });
      },
    });

    palette?.addItem({ command: CommandIDs.newRoom, category: CATEGORY });
  },
};

/** The first of "Room 1", "Room 2", … that no room has. */
function freeName(rooms: IRooms, named: (number: number) => string): string {
  const taken = new Set(rooms.all.map((room) => room.name));
  let number = 1;
  while (taken.has(named(number))) {
    number += 1;
  }
  return named(number);
}
