import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import {
  Dialog,
  ICommandPalette,
  InputDialog,
  Notification,
  showDialog,
} from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { notebookIcon } from "@jupyterlab/ui-components";

import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { joinIcon, roomIcon } from "../icons.js";
import { keyOf, takeKeyFromAddress } from "../join_link.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms, ISettings } from "../tokens.js";
import type { INewRoomChoice, StartWith } from "../widgets/new_room.js";

export const openingPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:opening",
  description: "Opens rooms, joins them, and goes in and out.",
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

    const join = async (text: string): Promise<string | null> =>
      inRoom.tell(trans.__("You could not join"), async () => {
        const room = await rooms.join(keyOf(text));
        Notification.success(trans.__("You are in %1.", room.name), { autoClose: 4000 });
        await commands.execute(CommandIDs.showRooms);
        return room.id;
      });

    commands.addCommand(CommandIDs.joinRoom, {
      label: (args) =>
        args["isLauncher"] === true ? trans.__("Join Room") : trans.__("Join Room…"),
      caption: trans.__("Come into somebody's room with a key or a link"),
      icon: joinIcon,
      describedBy: describedBy({
        key: trans.__("A join key or a join link; the user is asked where it is left out."),
      }),
      execute: async (args) => {
        const given = textOf(args["key"]);
        if (given !== null) {
          return join(given);
        }
        const { button, value } = await InputDialog.getText({
          title: trans.__("Join room"),
          label: trans.__("Key or link"),
          okLabel: trans.__("Join"),
          required: true,
        });
        return button.accept && value !== null ? join(value) : null;
      },
    });

    inRoom.add(CommandIDs.enterRoom, {
      label: trans.__("Enter Room"),
      caption: trans.__("Be a member, whom the others see"),
      role: "view",
      fits: (room) => room.self === null,
      execute: async (room) => {
        room.enter();
        await commands.execute(CommandIDs.showRooms);
      },
    });

    inRoom.add(CommandIDs.leaveRoom, {
      label: trans.__("Leave Room"),
      caption: trans.__("Be no member any more; the room goes on"),
      role: "view",
      fits: (room) => room.self !== null,
      execute: (room) => rooms.leave(room),
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

    for (const command of [CommandIDs.newRoom, CommandIDs.joinRoom]) {
      palette?.addItem({ command, category: CATEGORY });
    }

    const follow = async (): Promise<void> => {
      const key = takeKeyFromAddress(window);
      if (key === null) {
        return;
      }
      await app.restored;
      const { button } = await showDialog({
        title: trans.__("Join a room?"),
        body: trans.__("The link that you followed leads into a room. Its members will see you."),
        buttons: [
          Dialog.cancelButton({ label: trans.__("No") }),
          Dialog.okButton({ label: trans.__("Join") }),
        ],
      });
      if (button.accept) {
        await join(key);
      }
    };
    window.addEventListener("hashchange", () => void follow());
    void follow();
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
