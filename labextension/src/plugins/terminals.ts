import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILayoutRestorer } from "@jupyterlab/application";
import { ICommandPalette, IThemeManager, WidgetTracker } from "@jupyterlab/apputils";
import type { Terminal as Sessions } from "@jupyterlab/services";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { ITerminal } from "@jupyterlab/terminal";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { terminalIcon } from "@jupyterlab/ui-components";
import { CommandRegistry } from "@lumino/commands";

import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { place } from "../placing.js";
import { RoomCommands } from "../room_commands.js";
// eslint-disable-next-line jupyter/prefer-lazy-imports -- small, and restoring needs it at once
import { Terminals } from "../terminals.js";
import { IRooms } from "../tokens.js";
import type { RoomTerminal } from "../widgets/terminal.js";

/** Those of the stock terminal: what a user has set there holds here, too. */
const STOCK = "@jupyterlab/terminal-extension:plugin";
const LOOKS = [
  "fontFamily",
  "fontSize",
  "lineHeight",
  "theme",
  "scrollback",
  "screenReaderMode",
  "pasteWithCtrlV",
  "macOptionIsMeta",
  "cursorBlink",
] as const;

export const terminalsPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:terminals",
  description: "Opens terminals of rooms.",
  autoStart: true,
  requires: [IRooms],
  optional: [ICommandPalette, ILayoutRestorer, ISettingRegistry, IThemeManager, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    themes: IThemeManager | null,
    translator: ITranslator | null,
  ): void => {
    const ours = translator ?? nullTranslator;
    const trans = ours.load("embedenv_jupyter");
    const { commands, shell } = app;
    const terminals = new Terminals(app.serviceManager.serverSettings);
    const tracker = new WidgetTracker<RoomTerminal>({ namespace: "embedenv-terminals" });
    const inRoom = new RoomCommands(commands, rooms, trans, palette);
    let looks: Partial<ITerminal.IOptions> = {};

    const show = async (roomId: string, roomName: string, name: string | null): Promise<void> => {
      const open = tracker.find((each) => each.roomId === roomId && each.session.name === name);
      if (open !== undefined) {
        shell.activateById(open.id);
        return;
      }
      const [{ Terminal }, { RoomTerminal }, session] = await Promise.all([
        import("@jupyterlab/terminal"),
        import("../widgets/terminal.js"),
        terminals.open(roomId, name),
      ]);
      const content = new Terminal(session, { ...looks, shutdownOnClose: false }, ours);
      const key = wayOut();
      const shownKey = key === null ? null : CommandRegistry.formatKeystroke(key);
      const options = { session, content, roomId, roomName, trans, wayOut: shownKey };
      const widget = new RoomTerminal(options);
      widget.node.addEventListener("keydown", leave, true);
      follow(widget);
      place(shell, widget, { type: "Terminal" });
      await tracker.add(widget);
      shell.activateById(widget.id);
      await content.ready;
      if (shell.currentWidget === widget) {
        content.activate(); // which takes the focus, as it could not before there was anything to type into
      }
    };

    /** The key that leaves a terminal, as schema/terminals.json or the user has it. */
    const wayOut = (): string | null =>
      commands.keyBindings.find(({ command }) => command === CommandIDs.exitTerminal)?.keys[0] ??
      null;

    /** A terminal keeps the keys that it knows for itself, so this one is taken before it sees it. */
    const leave = (event: KeyboardEvent): void => {
      if (CommandRegistry.keystrokeForKeydownEvent(event) === wayOut()) {
        event.preventDefault();
        event.stopPropagation();
        void commands.execute(CommandIDs.exitTerminal);
      }
    };

    const follow = (widget: RoomTerminal): void => {
      const room = rooms.get(widget.roomId);
      if (room !== undefined) {
        const { members, terminals: models } = room.model;
        const typist = models.find(({ name }) => name === widget.session.name)?.typist ?? null;
        const isOwn = typist?.id === room.self?.id;
        // Who is alone knows who typed.
        const isNews = members.length > 1 || !isOwn;
        widget.follow(room.name, room.may("run"), isNews ? typist : null, isOwn);
        void tracker.save(widget);
      }
    };

    inRoom.add(CommandIDs.openTerminal, {
      label: trans.__("New Terminal in Room"),
      caption: trans.__("Open a shell in the room, which its members share"),
      icon: terminalIcon,
      role: "view",
      args: { name: trans.__("The name of a terminal that is there; a new one where left out.") },
      execute: async (room, args) => {
        const name =
          textOf(args["name"]) ?? (room.may("run") ? null : room.model.terminals[0]?.name);
        if (name === undefined) {
          throw new Error(
            trans.__("Your role in %1 looks at terminals, and there is none yet.", room.name),
          );
        }
        room.enter();
        await show(room.id, room.name, name);
      },
    });

    commands.addCommand(CommandIDs.restoreTerminal, {
      label: trans.__("Restore a Terminal of a Room"),
      isVisible: () => false,
      describedBy: describedBy({
        room: trans.__("The id of the room."),
        roomName: trans.__("What the room is called."),
        name: trans.__("The name of the terminal."),
      }),
      execute: async (args) => {
        const [room, name] = [textOf(args["room"]), textOf(args["name"])];
        if (room !== null && name !== null && (await terminals.has(room, name))) {
          await show(room, textOf(args["roomName"]) ?? room, name);
        }
      },
    });

    commands.addCommand(CommandIDs.endTerminal, {
      label: trans.__("End Terminal for Everybody"),
      caption: trans.__("End the terminal and what runs in it; closing its tab only hides it"),
      describedBy: describedBy({}),
      isEnabled: () => tracker.currentWidget?.mayType ?? false,
      execute: async () => {
        const { currentWidget } = tracker;
        if (currentWidget !== null) {
          await terminals.end(currentWidget.roomId, currentWidget.session.name);
          currentWidget.dispose();
        }
      },
    });

    commands.addCommand(CommandIDs.exitTerminal, {
      label: trans.__("Leave the Terminal With the Keyboard"),
      caption: trans.__("Put the focus on the terminal’s tab"),
      describedBy: describedBy({}),
      isEnabled: () => tracker.currentWidget !== null,
      execute: () => {
        focusTabOf(tracker.currentWidget);
      },
    });

    for (const command of [CommandIDs.endTerminal, CommandIDs.exitTerminal]) {
      palette?.addItem({ command, category: CATEGORY });
      app.contextMenu.addItem({ command, selector: ".embedenv-RoomTerminal", rank: 20 });
    }

    void restorer?.restore(tracker, {
      command: CommandIDs.restoreTerminal,
      args: ({ roomId, roomName, session }) => ({
        room: roomId,
        roomName,
        name: session.name,
      }),
      name: ({ roomId, session }) => `${roomId}:${session.name}`,
    });

    const wake = (...statuses: readonly Sessions.ConnectionStatus[]): void => {
      tracker.forEach(({ session }) => {
        if (statuses.includes(session.connectionStatus) && !session.isDisposed) {
          session.reconnect().catch(() => undefined);
        }
      });
    };
    let wasConnected = true;
    rooms.changed.connect(() => {
      tracker.forEach((widget) => {
        const { mayType, session } = widget;
        follow(widget);
        if (widget.mayType !== mayType && !session.isDisposed) {
          // Its socket was made by somebody with the other role, and may do what that role may.
          session.reconnect().catch(() => undefined);
        }
      });
      const isConnected = rooms.link.state === "connected";
      if (isConnected && !wasConnected) {
        // The stock client waits ever longer between its tries, and gives up after some.
        wake("connecting", "disconnected");
      }
      wasConnected = isConnected;
    });
    void rooms.ready.then(() => {
      // A server that was killed cannot tell how its rooms have ended.
      rooms.changed.connect(() => {
        // A room that is joined with another role goes and is back at once; its terminals stay.
        queueMicrotask(() => {
          terminals.keep(new Set(rooms.all.map(({ id }) => id)));
        });
      });
    });
    rooms.roomEnded.connect((_, { id }) => {
      terminals.forget(id);
    });
    const wakeWhenSeen = (): void => {
      if (!document.hidden) {
        wake("disconnected");
      }
    };
    window.addEventListener("online", wakeWhenSeen);
    document.addEventListener("visibilitychange", wakeWhenSeen);

    themes?.themeChanged.connect(() => {
      tracker.forEach(({ content }) => {
        // It takes the colours when it is told, not from the style sheet.
        content.setOption("theme", content.getOption("theme"));
      });
    });

    void settings?.load(STOCK).then((stock) => {
      const read = (): void => {
        looks = Object.fromEntries(LOOKS.map((look) => [look, stock.composite[look]]));
        tracker.forEach(({ content }) => {
          for (const look of LOOKS) {
            content.setOption(look, looks[look]);
          }
        });
      };
      read();
      stock.changed.connect(read);
    });
  },
};

/** In JupyterLab a tab is next to the other tabs; arrows and Tab go on from there. */
function focusTabOf(widget: RoomTerminal | null): void {
  const tab = [...document.querySelectorAll<HTMLElement>(".lm-TabBar-tab")].find(
    (each) => each.dataset["id"] === widget?.id,
  );
  tab?.focus();
}
