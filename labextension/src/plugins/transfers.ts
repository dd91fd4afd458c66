import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { IDocumentManager, shouldOverwrite } from "@jupyterlab/docmanager";
import type { FileBrowser } from "@jupyterlab/filebrowser";
import { IDefaultFileBrowser, IFileBrowserFactory } from "@jupyterlab/filebrowser";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { downloadIcon } from "@jupyterlab/ui-components";

import { CommandIDs, describedBy } from "../commands.js";
// What is dragged is told of as soon as it moves.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { Dragging } from "../dragging.js";
import { IRoomDrives } from "../drives.js";
import { messageOf } from "../errors.js";
import { roomIcon } from "../icons.js";
import { RoomCommands } from "../room_commands.js";
import { IRooms } from "../tokens.js";
import { isElsewhere, transfer } from "../transfer.js";

const FILES = ".jp-DirListing-item";

export const transfersPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:transfers",
  description: "Copies files into rooms and out of them: by a command, and by dragging.",
  autoStart: true,
  requires: [IRooms, IRoomDrives, IDocumentManager],
  optional: [IFileBrowserFactory, IDefaultFileBrowser, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    drives: IRoomDrives,
    documents: IDocumentManager,
    factory: IFileBrowserFactory | null,
    home: FileBrowser | null,
    translator: ITranslator | null,
  ): void => {
    if (factory === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    const { contents } = app.serviceManager;
    const inRoom = new RoomCommands(commands, rooms, trans, null);
    const ask = (name: string): Promise<boolean> => shouldOverwrite(name);

    const selected = (): readonly string[] =>
      [...(factory.tracker.currentWidget?.selectedItems() ?? [])].map(({ path }) => path);

    inRoom.add(CommandIDs.openInRoom, {
      label: trans.__("Open in Room"),
      caption: trans.__("Copy what is selected into a room, and open it there"),
      icon: roomIcon,
      role: "edit",
      fits: (room) => selected().some((path) => drives.roomIdAt(path) !== room.id),
      execute: async (room) => {
        const drive = drives.of(room.id);
        if (drive === undefined) {
          return;
        }
        room.enter();
        const copies = await transfer(contents, selected(), `${drive.name}:`, ask);
        await commands.execute(CommandIDs.openFiles, { room: room.id });
        for (const path of copies) {
          const { type } = await contents.get(path, { content: false });
          if (type !== "directory") {
            documents.openOrReveal(path);
          }
        }
      },
    });
    app.contextMenu.addItem({ command: CommandIDs.openInRoom, selector: FILES, rank: 3 });

    if (home !== null) {
      commands.addCommand(CommandIDs.copyToServer, {
        label: trans.__("Copy Out of the Room"),
        caption: trans.__("Copy what is selected to the folder of the server that is shown"),
        icon: downloadIcon,
        describedBy: describedBy({}),
        isVisible: () => selected().some((path) => isElsewhere(contents, path, home.model.path)),
        execute: async () => {
          const folder = home.model.path;
          await inRoom.tell(trans.__("Nothing was copied"), async () => {
            const copies = await transfer(contents, selected(), folder, ask);
            Notification.success(trans.__("Copied to the server: %1", copies.join(", ")), {
              autoClose: 4000,
            });
          });
        },
      });
      app.contextMenu.addItem({ command: CommandIDs.copyToServer, selector: FILES, rank: 3 });
    }

    const copy = (paths: readonly string[], folder: string): void => {
      Notification.promise(transfer(contents, paths, folder, ask), {
        pending: { message: trans.__("Copying…") },
        success: {
          message: (copies) => copied(copies as readonly string[]),
          options: { autoClose: 4000 },
        },
        error: {
          message: (error) => trans.__("Not all was copied: %1", messageOf(error)),
        },
      });
    };
    const copied = (copies: readonly string[]): string =>
      copies.length === 0
        ? trans.__("Nothing was copied.")
        : trans.__("Copied: %1", copies.join(", "));
    const browserOf = (node: Element): FileBrowser | undefined =>
      factory.tracker.find((browser) => browser.node.contains(node)) ??
      (home?.node.contains(node) === true ? home : undefined);
    new Dragging({ contents, browserOf, copy }, document);
  },
};
