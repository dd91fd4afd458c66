import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILayoutRestorer } from "@jupyterlab/application";
import { ICommandPalette, showErrorMessage, WidgetTracker } from "@jupyterlab/apputils";
import type { FileBrowser } from "@jupyterlab/filebrowser";
import { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { folderIcon, newFolderIcon, refreshIcon } from "@jupyterlab/ui-components";
import { Debouncer } from "@lumino/polling";
import { Widget } from "@lumino/widgets";

import { Changes } from "../changes.js";
import { CommandIDs, describedBy, textOf } from "../commands.js";
import { IRoomDrives } from "../drives.js";
import { RoomCommands } from "../room_commands.js";
import { IRooms } from "../tokens.js";
// Subclasses of what JupyterLab has loaded on every page.
import { ChangedFiles } from "../widgets/changed_files.js";
import { ChangedRenderer, roomFilesIcon } from "../widgets/room_browser.js";
import { ToolButton, UploadButton } from "../widgets/tool_button.js";

/** A program that writes all the time must not have the folder listed all the time. */
const REFRESH_MS = 200;

/** The files of one room in the left area. */
interface IBrowser {
  readonly roomId: string;
  readonly browser: FileBrowser;
  readonly changed: ChangedFiles;
}

export const filesPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:files",
  description: "Shows the files of rooms in file browsers of their own.",
  autoStart: true,
  requires: [IRooms, IRoomDrives],
  optional: [IFileBrowserFactory, ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    drives: IRoomDrives,
    factory: IFileBrowserFactory | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
  ): void => {
    if (factory === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands, shell } = app;
    const inRoom = new RoomCommands(commands, rooms, trans, palette);
    const tracker = new WidgetTracker<FileBrowser>({ namespace: "embedenv-files" });
    const browsers = new Map<string, IBrowser>();
    const changes = new Map<string, Changes>();

    const changesOf = (roomId: string): Changes => {
      const known = changes.get(roomId) ?? new Changes();
      changes.set(roomId, known);
      return known;
    };

    /** Makes the browser of a room, or finds it. */
    const browserOf = (roomId: string): IBrowser | null => {
      const drive = drives.of(roomId);
      const known = browsers.get(roomId);
      if (known !== undefined || drive === undefined) {
        return known ?? null;
      }
      const isChanged = (path: string): boolean => {
        const local = path.slice(drive.name.length + 1);
        return changesOf(roomId).last?.paths.includes(local) ?? false;
      };
      const browser = factory.createFileBrowser(`embedenv-files-${roomId}`, {
        driveName: drive.name,
        restore: false,
        renderer: new ChangedRenderer(isChanged, trans),
      });
      const changed = new ChangedFiles(trans, (path) => {
        void commands.execute("docmanager:open", { path: `${drive.name}:${path}` });
      });
      browser.title.icon = roomFilesIcon;
      browser.title.caption = trans.__("Files of %1", rooms.get(roomId)?.name ?? drive.name);
      browser.node.setAttribute("role", "region");
      browser.node.setAttribute("aria-label", browser.title.caption);
      browser.header.addWidget(heading(browser.title.caption));
      addTools(browser);
      browser.addWidget(changed);
      changed.present(changesOf(roomId).last);
      const refresh = new Debouncer(async () => {
        await browser.model.refresh();
        survey(roomId, browser);
      }, REFRESH_MS);
      const filesChanged = (_: IRoomDrives, { roomId: where }: { roomId: string }): void => {
        if (where === roomId) {
          refresh.invoke().catch(() => undefined);
        }
      };
      drives.changed.connect(filesChanged);
      browser.disposed.connect(() => {
        drives.changed.disconnect(filesChanged);
        refresh.dispose();
        browsers.delete(roomId);
      });
      shell.add(browser, "left", { rank: 200, type: "File Browser" });
      void tracker.add(browser);
      const entry = { roomId, browser, changed };
      browsers.set(roomId, entry);
      return entry;
    };

    /** Of what programs change, the room tells the folder; when the files in it changed, its listing tells. */
    const survey = (roomId: string, browser: FileBrowser): void => {
      const own = changesOf(roomId);
      const prefix = browser.model.driveName.length + 1;
      own.found(
        [...browser.model.items()]
          .filter(({ type }) => type !== "directory")
          .map(({ path, last_modified }) => ({
            path: path.slice(prefix),
            modifiedAt: Date.parse(last_modified) / 1000,
          })),
      );
      browsers.get(roomId)?.changed.present(own.last);
    };

    const addTools = (browser: FileBrowser): void => {
      const { model, toolbar } = browser;
      const fail = (error: unknown): void => {
        void showErrorMessage(trans.__("Error"), error instanceof Error ? error : String(error));
      };
      toolbar.addItem(
        "new-folder",
        new ToolButton({
          icon: newFolderIcon,
          tooltip: trans.__("New Folder"),
          onClick: () => {
            browser.createNewDirectory().catch(fail);
          },
        }),
      );
      toolbar.addItem("upload", new UploadButton({ model, ...(translator && { translator }) }));
      toolbar.addItem(
        "refresh",
        new ToolButton({
          icon: refreshIcon,
          tooltip: trans.__("Refresh"),
          onClick: () => {
            model.refresh().catch(fail);
          },
        }),
      );
    };

    inRoom.add(CommandIDs.openFiles, {
      label: trans.__("Show Files of Room"),
      caption: trans.__("Show the files of the room in a file browser"),
      icon: folderIcon,
      role: "view",
      execute: async (room) => {
        room.enter();
        const entry = browserOf(room.id);
        if (entry !== null) {
          shell.activateById(entry.browser.id);
          await entry.browser.model.refresh();
        }
      },
    });

    inRoom.add(CommandIDs.showChangedFiles, {
      label: trans.__("Show Files Changed by the Last Run"),
      caption: trans.__("Show which files changed while the last run of the room went on"),
      role: "view",
      fits: (room) => (changes.get(room.id)?.last?.paths.length ?? 0) > 0,
      execute: async (room) => {
        await commands.execute(CommandIDs.openFiles, { room: room.id });
        browsers.get(room.id)?.changed.reveal();
      },
    });

    commands.addCommand(CommandIDs.restoreFiles, {
      label: trans.__("Restore Files of a Room"),
      isVisible: () => false,
      describedBy: describedBy({ room: trans.__("The id of the room.") }),
      execute: (args) => {
        const room = textOf(args["room"]);
        if (room !== null) {
          browserOf(room);
        }
      },
    });
    const roomIdOf = (browser: FileBrowser): string => browser.id.slice("embedenv-files-".length);
    void restorer?.restore(tracker, {
      command: CommandIDs.restoreFiles,
      args: (browser) => ({ room: roomIdOf(browser) }),
      name: (browser) => browser.id,
    });

    rooms.happened.connect((_, { room, event }) => {
      const own = changesOf(room.id);
      if (own.receive(event)) {
        browsers.get(room.id)?.changed.present(own.last);
      }
    });
    void rooms.ready.then(() => {
      const compare = (): void => {
        for (const { roomId, browser } of [...browsers.values()]) {
          if (rooms.get(roomId) === undefined) {
            browser.dispose();
            changes.delete(roomId);
          }
        }
      };
      compare();
      rooms.changed.connect(compare);
    });
  },
};

function heading(text: string): Widget {
  const node = document.createElement("h2");
  node.className = "embedenv-RoomFiles-heading";
  node.textContent = text;
  return new Widget({ node });
}
