import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import {
  Dialog,
  ICommandPalette,
  InputDialog,
  Notification,
  showDialog,
} from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { copyIcon, downloadIcon, editIcon, refreshIcon } from "@jupyterlab/ui-components";

import type { IWantedLimits } from "../api.js";
import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { bytes, clock } from "../format.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms, ISettings } from "../tokens.js";

export const lifecyclePlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:lifecycle",
  description: "Pauses, copies, restarts and stops rooms, and shows how they ended.",
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
    const inRoom = new RoomCommands(app.commands, rooms, trans, palette);
    const { api } = rooms;

    const isSure = async (title: string, text: string, action: string): Promise<boolean> => {
      const { button } = await showDialog({
        title,
        body: text,
        buttons: [
          Dialog.cancelButton({ label: trans.__("Cancel") }),
          Dialog.warnButton({ label: action }),
        ],
      });
      return button.accept;
    };

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
        if (await isSure(trans.__("Restart %1?", room.name), text, trans.__("Restart"))) {
          rooms.add(await api.restart(room.id, limits));
        }
      },
    });

    inRoom.add(CommandIDs.stopRoom, {
      label: trans.__("Stop Room…"),
      caption: trans.__("End the room with everything in it"),
      role: "own",
      execute: async (room) => {
        if (await isSure(trans.__("Stop %1?", room.name), lost(room), trans.__("Stop"))) {
          await api.stop(room.id);
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
