import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ILayoutRestorer } from "@jupyterlab/application";
import type { MainAreaWidget } from "@jupyterlab/apputils";
import {
  Clipboard,
  Dialog,
  ICommandPalette,
  Notification,
  showDialog,
  WidgetTracker,
} from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { CommandToolbarButton, refreshIcon } from "@jupyterlab/ui-components";

import { CATEGORY, CommandIDs, describedBy } from "../commands.js";
import { messageOf } from "../errors.js";
import { languagesIcon } from "../icons.js";
import type { LanguageBoardModel } from "../language_board.js";
import type { ILanguage } from "../languages.js";
import { place } from "../placing.js";
import type { LanguageBoard } from "../widgets/language_board.js";
import { tab } from "../widgets/tab.js";

const REFRESH = "embedenv:refresh-languages";
const TEST_ALL = "embedenv:test-languages";

export const languagesPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:languages",
  description: "Shows which languages rooms can run, tries them, and installs them.",
  autoStart: true,
  optional: [ICommandPalette, ILauncher, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands, shell } = app;
    const tracker = new WidgetTracker<MainAreaWidget<LanguageBoard>>({
      namespace: "embedenv-languages",
    });
    let model: LanguageBoardModel | null = null;

    /** Says what installs a language, and lets the server do it where it can. */
    const install = async (board: LanguageBoardModel, language: ILanguage): Promise<void> => {
      const { InstallBody } = await import("../widgets/install.js");
      const details = await board.details(language.id);
      const copy = Dialog.createButton({ label: trans.__("Copy Command"), accept: true });
      const run = Dialog.okButton({ label: trans.__("Install") });
      const { button } = await showDialog({
        title: trans.__("Install %1", language.name),
        body: new InstallBody(details, trans),
        buttons: [
          Dialog.cancelButton({ label: trans.__("Cancel") }),
          ...(details.obstacle === "" ? [copy, run] : [copy]),
        ],
      });
      if (button.label === copy.label) {
        Clipboard.copyToSystem(details.command);
      } else if (button.label === run.label && button.accept) {
        await board.install(language.id);
      }
    };

    const open = async (): Promise<MainAreaWidget<LanguageBoard>> => {
      const [view, boards, apis] = await Promise.all([
        import("../widgets/language_board.js"),
        import("../language_board.js"),
        import("../languages.js"),
      ]);
      const { serverSettings } = app.serviceManager;
      const api = new apis.LanguagesApi(serverSettings, () => performance.now());
      const board = new boards.LanguageBoardModel(api);
      model = board;
      const content = new view.LanguageBoard({
        model: board,
        trans,
        install: (language) => {
          install(board, language).catch((error: unknown) => {
            Notification.error(messageOf(error));
          });
        },
      });
      const panel = tab(content, {
        icon: languagesIcon,
        label: trans.__("Languages"),
        name: trans.__("Language board"),
      });
      panel.id = "embedenv-languages";
      for (const id of [REFRESH, TEST_ALL]) {
        panel.toolbar.addItem(id, new CommandToolbarButton({ commands, id }));
      }
      panel.disposed.connect(() => {
        model = null;
      });
      await tracker.add(panel);
      void board.refresh();
      return panel;
    };

    commands.addCommand(CommandIDs.showLanguages, {
      label: trans.__("Languages"),
      caption: trans.__("Show which languages rooms can run, try them, and install others"),
      icon: languagesIcon,
      describedBy: describedBy({}),
      execute: async () => {
        const panel = tracker.find(() => true) ?? (await open());
        if (!panel.isAttached) {
          place(shell, panel, { type: "Embedenv" });
        }
        shell.activateById(panel.id);
      },
    });
    commands.addCommand(REFRESH, {
      label: trans.__("Refresh Languages"),
      caption: trans.__("Ask the gateway again what rooms can run"),
      icon: refreshIcon,
      describedBy: describedBy({}),
      isEnabled: () => model !== null,
      execute: async () => model?.refresh(),
    });
    commands.addCommand(TEST_ALL, {
      label: () =>
        model?.isTestingAll === true ? trans.__("Stop Testing") : trans.__("Test All Languages"),
      caption: trans.__("Run a first program in each language that is here, one after another"),
      describedBy: describedBy({}),
      isEnabled: () => model !== null,
      execute: async () => {
        if (model?.isTestingAll === true) {
          model.stopTesting();
          return;
        }
        const all = model?.testAll();
        commands.notifyCommandChanged(TEST_ALL);
        await all;
        commands.notifyCommandChanged(TEST_ALL);
      },
    });
    launcher?.add({ command: CommandIDs.showLanguages, category: CATEGORY, rank: 20 });
    [CommandIDs.showLanguages, REFRESH, TEST_ALL].forEach((command) => {
      palette?.addItem({ command, category: CATEGORY });
    });
    if (restorer !== null) {
      void restorer.restore(tracker, {
        command: CommandIDs.showLanguages,
        name: () => "languages",
      });
    }
  },
};
