import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILayoutRestorer } from "@jupyterlab/application";
import type { MainAreaWidget } from "@jupyterlab/apputils";
import { ICommandPalette, WidgetTracker } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { CommandToolbarButton } from "@jupyterlab/ui-components";

import { CATEGORY, CommandIDs, describedBy } from "../commands.js";
import { latencyIcon } from "../icons.js";
// From the start, so that cuts are known that came before anybody looked.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { LatencyModel } from "../latency_model.js";
import { place } from "../placing.js";
import { REAL_TIME } from "../time.js";
import { IRooms } from "../tokens.js";
import type { LatencyMonitor } from "../widgets/latency_monitor.js";
import { tab } from "../widgets/tab.js";

const PAUSE = "embedenv:pause-latency";
const RESET = "embedenv:reset-latency";
const ENGINE = "embedenv:measure-engine";

export const latencyPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:latency",
  description: "Shows how long messages take to the gateway and back, on each connection.",
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
    const model = new LatencyModel(rooms, app.serviceManager.serverSettings, REAL_TIME);
    const tracker = new WidgetTracker<MainAreaWidget<LatencyMonitor>>({
      namespace: "embedenv-latency",
    });

    /** In the palette an action says what it is about. */
    const titled = (isInToolbar: boolean, action: string): string =>
      isInToolbar ? action : trans.__("Latency Monitor: %1", action);

    const open = async (): Promise<MainAreaWidget<LatencyMonitor>> => {
      const view = await import("../widgets/latency_monitor.js");
      const content = new view.LatencyMonitor({ model, trans });
      const panel = tab(content, {
        icon: latencyIcon,
        label: trans.__("Latency"),
        name: trans.__("Latency monitor"),
      });
      panel.id = "embedenv-latency";
      const args = { toolbar: true };
      for (const id of [PAUSE, RESET, ENGINE]) {
        panel.toolbar.addItem(id, new CommandToolbarButton({ commands, id, args }));
      }
      panel.disposed.connect(() => {
        model.measureEngine(false);
      });
      await tracker.add(panel);
      return panel;
    };

    commands.addCommand(CommandIDs.showLatency, {
      label: trans.__("Latency Monitor"),
      caption: trans.__("Show how long messages take to the gateway and back"),
      icon: latencyIcon,
      describedBy: describedBy({}),
      execute: async () => {
        const panel = tracker.find(() => true) ?? (await open());
        if (!panel.isAttached) {
          place(shell, panel, { mode: "split-right", type: "Embedenv" });
        }
        shell.activateById(panel.id);
      },
    });
    commands.addCommand(PAUSE, {
      // No toggle: the label says what a click does now.
      label: ({ toolbar }) =>
        titled(toolbar === true, model.isPaused ? trans.__("Go On") : trans.__("Pause")),
      caption: trans.__("Do not count what happens on the connections, or count again"),
      describedBy: describedBy({}),
      execute: () => {
        model.pause(!model.isPaused);
        commands.notifyCommandChanged(PAUSE);
      },
    });
    commands.addCommand(RESET, {
      label: ({ toolbar }) => titled(toolbar === true, trans.__("Reset")),
      caption: trans.__("Forget all pings, cuts and losses so far"),
      describedBy: describedBy({}),
      execute: () => {
        model.reset();
      },
    });
    commands.addCommand(ENGINE, {
      label: ({ toolbar }) =>
        titled(
          toolbar === true,
          model.isProbing ? trans.__("Stop Measuring the Engine") : trans.__("Measure the Engine"),
        ),
      caption: trans.__("Open a connection to the Engine and ping it each second"),
      describedBy: describedBy({}),
      execute: () => {
        model.measureEngine(!model.isProbing);
        commands.notifyCommandChanged(ENGINE);
      },
    });
    [CommandIDs.showLatency, PAUSE, RESET, ENGINE].forEach((command) => {
      palette?.addItem({ command, category: CATEGORY });
    });
    if (restorer !== null) {
      void restorer.restore(tracker, { command: CommandIDs.showLatency, name: () => "latency" });
    }
  },
};
