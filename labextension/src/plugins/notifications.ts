import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import type { INoticeBoard } from "../notices.js";
// It has to hear of everything from the start.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { Notices } from "../notices.js";
import { IRooms, ISettings } from "../tokens.js";

export const notificationsPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:notifications",
  description: "Tells what happens in rooms.",
  autoStart: true,
  requires: [IRooms, ISettings],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    settings: ISettings,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    const board: INoticeBoard = {
      show: (type, message, forMs, actions) =>
        Notification.emit(message, type, {
          autoClose: forMs,
          actions: actions.map(({ args, command, label }) => ({
            label,
            callback: () => void commands.execute(command, args),
          })),
        }),
      update: (id, message) => {
        Notification.update({ id, message });
      },
      dismiss: (id) => {
        Notification.dismiss(id);
      },
      hasCommand: (command) => commands.hasCommand(command),
      isHidden: () => document.hidden,
    };
    const notices = new Notices(rooms, board, trans, () => settings.now);
    window.setInterval(() => {
      notices.tick(Date.now() / 1000);
    }, 1000);
  },
};
