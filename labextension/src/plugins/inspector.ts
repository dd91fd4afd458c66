import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { MainAreaWidget } from "@jupyterlab/apputils";
import { Clipboard, ICommandPalette, Notification, WidgetTracker } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { CommandToolbarButton, copyIcon, runIcon, Toolbar } from "@jupyterlab/ui-components";

import { CATEGORY, CommandIDs, describedBy } from "../commands.js";
import { messageOf } from "../errors.js";
import { wireIcon } from "../icons.js";
import type { Inspector } from "../inspector/inspector.js";
import type { SnippetId } from "../inspector/snippets.js";
import { place } from "../placing.js";
import { REAL_TIME } from "../time.js";
import { IRooms } from "../tokens.js";
import { tab } from "../widgets/tab.js";
import type { WireInspector } from "../widgets/wire_inspector.js";

const CONNECT = "embedenv:wire-connect";
const DISCONNECT = "embedenv:wire-disconnect";
const SEND = "embedenv:wire-send";
const CLEAR = "embedenv:wire-clear";
const COPY = "embedenv:wire-copy-as-";
const PROGRAMS: readonly (readonly [SnippetId, string])[] = [
  ["curl", "curl"],
  ["python", "Python"],
  ["javascript", "JavaScript"],
];

export const inspectorPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:inspector",
  description: "Shows what goes over the wire in each protocol, with real connections.",
  autoStart: true,
  requires: [IRooms],
  optional: [ICommandPalette, ILauncher, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands, shell } = app;
    const settings = app.serviceManager.serverSettings;
    const tracker = new WidgetTracker<MainAreaWidget<WireInspector>>({
      namespace: "embedenv-wire",
    });
    const current = (): Inspector | null => tracker.currentWidget?.content.inspector ?? null;
    const isOpen = (): boolean =>
      ["connecting", "open"].includes(current()?.session?.state ?? "closed");
    const buttons = [
      [CONNECT, trans.__("Connect")],
      [DISCONNECT, trans.__("Disconnect")],
      [SEND, trans.__("Send")],
      [CLEAR, trans.__("Clear")],
    ] as const;
    const changed = (): void => {
      buttons.forEach(([id]) => {
        commands.notifyCommandChanged(id);
      });
    };
    const failed = (error: unknown): void => {
      Notification.error(messageOf(error));
    };

    commands.addCommand(CommandIDs.showInspector, {
      label: trans.__("Wire Inspector"),
      caption: trans.__("Watch what goes over the wire in one of the protocols"),
      icon: wireIcon,
      describedBy: describedBy({}),
      execute: async () => {
        const [view, model, { newTicket }] = await Promise.all([
          import("../widgets/wire_inspector.js"),
          import("../inspector/inspector.js"),
          import("../tickets.js"),
        ]);
        const inspector = new model.Inspector({
          settings,
          time: REAL_TIME,
          newTicket: async () => newTicket(settings),
        });
        const send = (): void => void commands.execute(SEND);
        const content = new view.WireInspector({ inspector, rooms, trans, send });
        const panel = tab(content, {
          icon: wireIcon,
          label: trans.__("Wire"),
          name: trans.__("Wire inspector"),
        });
        for (const [id, label] of buttons) {
          panel.toolbar.addItem(id, new CommandToolbarButton({ commands, id, label }));
        }
        panel.toolbar.addItem("spacer", Toolbar.createSpacerItem());
        for (const [id, name] of PROGRAMS) {
          const label = trans.__("Copy as %1", name);
          const button = new CommandToolbarButton({ commands, id: `${COPY}${id}`, label });
          panel.toolbar.addItem(id, button);
        }
        await tracker.add(panel);
        let before = "";
        inspector.changed.connect(() => {
          // Frames may come by the hundred; what can be done changes with few of them.
          const now = `${inspector.endpoint.id} ${inspector.session?.state ?? ""}`;
          if (now !== before) {
            before = now;
            changed();
          }
        });
        place(shell, panel, { type: "Embedenv" });
        shell.activateById(panel.id);
      },
    });
    commands.addCommand(CONNECT, {
      label: trans.__("Wire Inspector: Connect"),
      caption: trans.__("Open the connection"),
      describedBy: describedBy({}),
      isEnabled: () => current()?.endpoint.transport === "socket" && !isOpen(),
      execute: async () => current()?.connect().catch(failed),
    });
    commands.addCommand(DISCONNECT, {
      label: trans.__("Wire Inspector: Disconnect"),
      caption: trans.__("End the connection; its frames stay"),
      describedBy: describedBy({}),
      isEnabled: isOpen,
      execute: () => current()?.disconnect(),
    });
    commands.addCommand(SEND, {
      label: trans.__("Wire Inspector: Send"),
      caption: trans.__("Send the next frame (Shift+Enter)"),
      icon: runIcon,
      describedBy: describedBy({}),
      isEnabled: () => current() !== null,
      execute: async () => current()?.send().catch(failed),
    });
    commands.addCommand(CLEAR, {
      label: trans.__("Wire Inspector: Clear"),
      caption: trans.__("End the connection and forget its frames"),
      describedBy: describedBy({}),
      isEnabled: () => (current()?.session ?? null) !== null,
      execute: () => current()?.clear(),
    });
    for (const [id, name] of PROGRAMS) {
      commands.addCommand(`${COPY}${id}`, {
        label: trans.__("Wire Inspector: Copy as %1", name),
        caption: trans.__("Copy what was sent as a program; keys are left out of it"),
        icon: copyIcon,
        describedBy: describedBy({}),
        isEnabled: () => current() !== null,
        execute: () => {
          const program = current()?.program(id) ?? null;
          if (program === null) {
            Notification.warning(
              trans.__("curl cannot hold this conversation; copy it as Python or JavaScript."),
            );
            return;
          }
          Clipboard.copyToSystem(program);
          Notification.info(
            trans.__("Copied. Keys are not in it: it takes them from the environment."),
            { autoClose: 3000 },
          );
        },
      });
    }
    tracker.currentChanged.connect(changed);
    launcher?.add({ command: CommandIDs.showInspector, category: CATEGORY, rank: 21 });
    const all = [CommandIDs.showInspector, ...buttons.map(([id]) => id)];
    [...all, ...PROGRAMS.map(([id]) => `${COPY}${id}`)].forEach((command) => {
      palette?.addItem({ command, category: CATEGORY });
    });
  },
};
