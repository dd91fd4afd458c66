import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, InputDialog, Notification } from "@jupyterlab/apputils";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { editIcon } from "@jupyterlab/ui-components";

import { isSure } from "../asking.js";
import { CommandIDs } from "../commands.js";
import { IRoomDrives } from "../drives.js";
import { clock } from "../format.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms, ISettings } from "../tokens.js";

export const lifecyclePlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:lifecycle",
  description: "Renames, pauses, keeps and stops rooms.",
  autoStart: true,
  requires: [IRooms, ISettings],
  optional: [IRoomDrives, IDocumentManager, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    settings: ISettings,
    drives: IRoomDrives | null,
    documents: IDocumentManager | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const inRoom = new RoomCommands(app.commands, rooms, trans, palette);
    const { api } = rooms;

    inRoom.add(CommandIDs.renameRoom, {
      label: trans.__("Rename Room…"),
      icon: editIcon,
      role: "own",
      execute: async (room) => {
        const { button, value } = await InputDialog.getText({
          title: trans.__("Rename %1", room.name),
          text: room.name,
          okLabel: trans.__("Rename"),
          required: true,
        });
        if (button.accept && value !== null) {
          await api.rename(room.id, value.trim());
        }
      },
    });

    inRoom.add(CommandIDs.pauseRoom, {
      label: trans.__("Pause Room"),
      caption: trans.__("Stop the clock of all programs in the room"),
      role: "own",
      fits: (room) => !room.model.is_paused,
      execute: (room) => api.pause(room.id),
    });

    inRoom.add(CommandIDs.resumeRoom, {
      label: trans.__("Resume Room"),
      caption: trans.__("Let all programs of the room run on"),
      role: "own",
      fits: (room) => room.model.is_paused,
      execute: (room) => api.resume(room.id),
    });

    inRoom.add(CommandIDs.keepRoom, {
      label: trans.__("Keep Room"),
      caption: trans.__("Do not stop the room for a while, although nobody uses it"),
      role: "run",
      execute: async (room) => {
        const { keepSeconds } = settings.now;
        await api.keep(room.id, keepSeconds);
        Notification.success(
          trans.__("%1 is kept for %2 at least.", room.name, clock(keepSeconds)),
          { autoClose: 4000 },
        );
      },
    });

    inRoom.add(CommandIDs.stopRoom, {
      label: trans.__("Stop Room…"),
      caption: trans.__("End the room with everything in it"),
      role: "own",
      args: { isConfirmed: trans.__("Whether the user was asked already.") },
      execute: async (room, args) => {
        const title = trans.__("Stop %1?", room.name);
        const isConfirmed = args["isConfirmed"] === true;
        if (isConfirmed || (await isSure(trans, title, lost(room), trans.__("Stop")))) {
          const { Places } = await import("../places.js");
          new Places({ app, rooms, drives, documents }).closeWhatIsGoneWith(room);
          await rooms.end(room, () => api.stop(room.id));
        }
      },
    });

    const lost = (room: IRoom): string => {
      const others = room.model.members.filter((member) => member.id !== room.self?.id).length;
      const files = trans.__("Its files and all that runs in it are gone then.");
      return others === 0
        ? files
        : `${trans._n("%1 other member is in it.", "%1 other members are in it.", others)} ${files}`;
    };
  },
};
