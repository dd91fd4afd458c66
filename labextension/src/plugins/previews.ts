import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILayoutRestorer } from "@jupyterlab/application";
import {
  Clipboard,
  ICommandPalette,
  InputDialog,
  Notification,
  WidgetTracker,
} from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { html5Icon, launchIcon, linkIcon, refreshIcon, stopIcon } from "@jupyterlab/ui-components";
import type { ReadonlyPartialJSONObject } from "@lumino/coreutils";

import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { place } from "../placing.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms } from "../tokens.js";
import type { Preview } from "../widgets/preview.js";

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const TOOLS = [
  CommandIDs.reloadPreview,
  CommandIDs.openPreviewOutside,
  CommandIDs.sharePreview,
  CommandIDs.stopSharingPreview,
];

export const previewsPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:previews",
  description: "Shows the pages that programs of rooms serve.",
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
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands, shell } = app;
    const { serverSettings } = app.serviceManager;
    const tracker = new WidgetTracker<Preview>({ namespace: "embedenv-previews" });
    const inRoom = new RoomCommands(commands, rooms, trans, palette);

    const show = async (roomId: string, roomName: string, port: number): Promise<void> => {
      const open =
        tracker.find((each) => each.roomId === roomId && each.port === port) ??
        (await add(roomId, roomName, port));
      shell.activateById(open.id);
    };

    const add = async (roomId: string, roomName: string, port: number): Promise<Preview> => {
      const [{ PreviewsApi }, { Preview }] = await Promise.all([
        import("../previews.js"),
        import("../widgets/preview.js"),
      ]);
      const api = new PreviewsApi(serverSettings, roomId);
      const now = (): number => Date.now();
      const options = { api, roomId, roomName, port, trans, commands, tools: TOOLS, now };
      const widget = new Preview(options);
      await widget.reload();
      place(shell, widget, { type: "Preview" });
      await tracker.add(widget);
      return widget;
    };

    const choosePort = async (room: IRoom): Promise<number | null> => {
      const [port, ...others] = room.model.ports;
      if (port !== undefined && others.length === 0) {
        return port;
      }
      const { button, value } = await InputDialog.getItem({
        title: trans.__("Show a port"),
        label: trans.__("Port"),
        items: room.model.ports.map(String),
        editable: true,
        okLabel: trans.__("Open"),
      });
      return button.accept && value !== null ? portIn(value) : null;
    };

    inRoom.add(CommandIDs.openPreview, {
      label: trans.__("Show Port of Room"),
      caption: trans.__("Show the page that a program of the room serves"),
      icon: html5Icon,
      role: "run",
      args: { port: trans.__("The port; the user is asked where there are several.") },
      execute: async (room, args) => {
        const given = textOf(args["port"]);
        const port = given === null ? await choosePort(room) : portIn(given);
        if (port !== null) {
          room.enter();
          await show(room.id, room.name, port);
        }
      },
    });

    commands.addCommand(CommandIDs.restorePreview, {
      label: trans.__("Restore a Preview of a Room"),
      isVisible: () => false,
      describedBy: describedBy({
        room: trans.__("The id of the room."),
        roomName: trans.__("What the room is called."),
        port: trans.__("The port."),
      }),
      execute: async (args) => {
        const [room, port] = [textOf(args["room"]), textOf(args["port"])];
        if (room !== null && port !== null) {
          await show(room, textOf(args["roomName"]) ?? room, portIn(port));
        }
      },
    });
    void restorer?.restore(tracker, {
      command: CommandIDs.restorePreview,
      args: ({ roomId, roomName, port }) => ({ room: roomId, roomName, port: String(port) }),
      name: ({ id }) => id,
    });

    const addTool = (
      id: string,
      tool: {
        readonly label: string;
        readonly caption: string;
        readonly icon: typeof refreshIcon;
        readonly execute: (preview: Preview) => Promise<void>;
      },
    ): void => {
      const { label, caption, icon, execute } = tool;
      const meant = (args: ReadonlyPartialJSONObject): Preview | null =>
        tracker.find((each) => each.roomId === args["room"] && each.port === args["port"]) ??
        tracker.currentWidget;
      commands.addCommand(id, {
        label,
        caption,
        icon,
        describedBy: describedBy({
          room: trans.__("The id of the room."),
          port: trans.__("The port."),
        }),
        isEnabled: (args) => meant(args) !== null,
        execute: async (args) => {
          const preview = meant(args);
          if (preview !== null) {
            await inRoom.tell(label, () => execute(preview));
          }
        },
      });
      palette?.addItem({ command: id, category: CATEGORY });
    };

    addTool(CommandIDs.reloadPreview, {
      label: trans.__("Reload Preview"),
      caption: trans.__("Load the page anew"),
      icon: refreshIcon,
      execute: (preview) => preview.reload(),
    });
    addTool(CommandIDs.openPreviewOutside, {
      label: trans.__("Open Preview in New Browser Tab"),
      caption: trans.__("Open the page in a tab of the browser"),
      icon: launchIcon,
      execute: async (preview) => {
        // Of its own: it outlives the tab in JupyterLab.
        const { url } = await preview.api.make(preview.port);
        window.open(url, "_blank", "noopener,noreferrer");
      },
    });
    addTool(CommandIDs.sharePreview, {
      label: trans.__("Copy Link to Preview…"),
      caption: trans.__("Copy a link that shows this page to anybody, for a time"),
      icon: linkIcon,
      execute: async (preview) => {
        const lives = new Map([
          [trans.__("1 hour"), HOUR_S],
          [trans.__("1 day"), DAY_S],
          [trans.__("7 days"), 7 * DAY_S],
        ]);
        const { button, value } = await InputDialog.getItem({
          title: trans.__("Copy link to port %1", preview.port),
          label: trans.__("Whoever has the link sees the page, without a login, for"),
          items: [...lives.keys()],
          okLabel: trans.__("Copy"),
        });
        const life_s = button.accept && value !== null ? lives.get(value) : undefined;
        if (life_s !== undefined) {
          const { url, expires_at } = await preview.api.make(preview.port, life_s);
          Clipboard.copyToSystem(url);
          const until = new Date(expires_at * 1000).toLocaleString();
          Notification.success(trans.__("The link is copied. It works until %1.", until), {
            autoClose: 8000,
          });
        }
      },
    });
    addTool(CommandIDs.stopSharingPreview, {
      label: trans.__("Stop Sharing Preview"),
      caption: trans.__("Take back all links to this port; this tab gets another one"),
      icon: stopIcon,
      execute: async (preview) => {
        const links = (await preview.api.all()).filter(({ port }) => port === preview.port);
        await Promise.all(links.map(({ capability }) => preview.api.revoke(capability)));
        preview.forget();
        await preview.reload();
        Notification.success(trans.__("No link to port %1 works any more.", preview.port), {
          autoClose: 4000,
        });
      },
    });

    rooms.happened.connect((_, { room, event: { what } }) => {
      if (what.event === "port") {
        // The program that is shown was started again.
        tracker
          .filter((each) => each.roomId === room.id && each.port === what.port)
          .forEach((preview) => {
            preview.reload().catch(() => undefined);
          });
      }
    });
    rooms.roomEnded.connect((_, { id }) => {
      tracker
        .filter(({ roomId }) => roomId === id)
        .forEach((preview) => {
          preview.dispose();
        });
    });
  },
};

function portIn(text: string): number {
  const port = Number(text.trim());
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Error(`"${text}" is no port; ports are numbers from 1 to 65535.`);
  }
  return port;
}
