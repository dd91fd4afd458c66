import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import {
  Dialog,
  ICommandPalette,
  InputDialog,
  Notification,
  showDialog,
} from "@jupyterlab/apputils";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { isSure } from "../asking.js";
import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { IRoomDrives } from "../drives.js";
import { messageOf } from "../errors.js";
import { joinIcon } from "../icons.js";
import { keyOf, takeKeyFromAddress } from "../join_link.js";
import { RoomCommands } from "../room_commands.js";
import { IRooms } from "../tokens.js";

export const joiningPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:joining",
  description: "Joins rooms by a key or a link, and goes in and out of them.",
  autoStart: true,
  requires: [IRooms],
  optional: [IRoomDrives, IDocumentManager, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    drives: IRoomDrives | null,
    documents: IDocumentManager | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    const inRoom = new RoomCommands(commands, rooms, trans, palette);

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
          // Without it JupyterLab shows the empty field as an error, in white on pink in one theme.
          placeholder: trans.__("KEY or https://…"),
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
      execute: async (room) => {
        const { Places } = await import("../places.js");
        const open = new Places({ app, rooms, drives, documents }).openIn(room);
        // Whoever has something of it open is in it.
        if (open.length > 0) {
          const text = trans.__(
            "What is open of it here is saved and closed: terminals, previews, notebooks and files. The room goes on.",
          );
          if (!(await isSure(trans, trans.__("Leave %1?", room.name), text, trans.__("Leave")))) {
            return;
          }
          const { putAway } = await import("../reopening.js");
          try {
            await putAway(open, documents);
          } catch (error) {
            const why = trans.__("%1 What is not saved is lost then.", messageOf(error));
            const title = trans.__("Not everything is saved. Leave all the same?");
            if (!(await isSure(trans, title, why, trans.__("Leave without saving")))) {
              return;
            }
            open.forEach((widget) => {
              widget.dispose();
            });
          }
        }
        await rooms.leave(room);
      },
    });

    palette?.addItem({ command: CommandIDs.joinRoom, category: CATEGORY });

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
