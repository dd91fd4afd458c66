import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Dialog, ICommandPalette, InputDialog, showDialog } from "@jupyterlab/apputils";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { copyIcon, downloadIcon, refreshIcon } from "@jupyterlab/ui-components";

import type { IWantedLimits } from "../api.js";
import { isSure } from "../asking.js";
import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { IRoomDrives } from "../drives.js";
import { bytes } from "../format.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms } from "../tokens.js";

export const copiesPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:copies",
  description:
    "Takes the files of rooms elsewhere: snapshots, forks, restarts; and shows how rooms ended.",
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
    const inRoom = new RoomCommands(app.commands, rooms, trans, palette);
    const { api } = rooms;

    inRoom.add(CommandIDs.snapshotRoom, {
      label: trans.__("Download Snapshot"),
      caption: trans.__("All files of the room, as one tar archive"),
      icon: downloadIcon,
      role: "own",
      execute: (room) => {
        const link = document.createElement("a");
        link.href = api.snapshotUrl(room.id);
        link.download = `${room.name}.tar`;
        link.click();
        return Promise.resolve();
      },
    });

    inRoom.add(CommandIDs.forkRoom, {
      label: trans.__("Fork Room…"),
      caption: trans.__("Open another room with a copy of the files"),
      icon: copyIcon,
      role: "own",
      execute: async (room) => {
        const { button, value } = await InputDialog.getText({
          title: trans.__("A new room with a copy of all files of %1", room.name),
          label: trans.__("Name"),
          text: trans.__("%1, copied", room.name),
          okLabel: trans.__("Fork"),
        });
        if (button.accept) {
          rooms.add(await api.fork(room.id, value?.trim() ?? ""));
        }
      },
    });

    inRoom.add(CommandIDs.restartRoom, {
      label: trans.__("Restart Room…"),
      caption: trans.__("The same files in a new sandbox; all programs end"),
      icon: refreshIcon,
      role: "own",
      args: { memory_bytes: trans.__("How much memory the room may use from then on, in bytes.") },
      execute: async (room, args) => {
        const memory = Number(textOf(args["memory_bytes"]) ?? 0);
        const limits: IWantedLimits = memory > 0 ? { memory_bytes: memory } : {};
        const text =
          memory > 0
            ? trans.__(
                "The files stay. All programs and kernels of the room end. It may use %1 of memory then.",
                bytes(memory),
              )
            : trans.__("The files stay. All programs and kernels of the room end.");
        if (await isSure(trans, trans.__("Restart %1?", room.name), text, trans.__("Restart"))) {
          await restart(room, limits);
        }
      },
    });

    const restart = async (room: IRoom, limits: IWantedLimits): Promise<void> => {
      const { OpenFiles } = await import("../reopening.js");
      const files =
        documents === null || drives === null
          ? null
          : new OpenFiles(app.shell, documents, drives, room.id);
      await files?.close();
      let again: IRoom;
      try {
        again = rooms.add(await rooms.end(room, () => api.restart(room.id, limits)));
      } catch (error) {
        files?.open(room.id);
        throw error;
      }
      files?.open(again.id);
    };

    app.commands.addCommand(CommandIDs.postMortem, {
      label: trans.__("Show How Room Ended…"),
      describedBy: describedBy({
        room: trans.__("The id of the room; the last one that ended where it is left out."),
      }),
      isEnabled: () => rooms.ended.length > 0,
      execute: async (args) => {
        const wanted = textOf(args["room"]);
        const ended = rooms.ended.find((one) => wanted === null || one.id === wanted);
        if (ended === undefined) {
          return;
        }
        const { PostMortemBody } = await import("../widgets/ended_rooms.js");
        await showDialog({
          title: trans.__("How %1 ended", ended.name),
          body: new PostMortemBody(ended, trans),
          buttons: [Dialog.okButton({ label: trans.__("Close") })],
        });
      },
    });
    palette?.addItem({ command: CommandIDs.postMortem, category: CATEGORY });
  },
};
