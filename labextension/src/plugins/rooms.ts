/* eslint-disable jupyter/prefer-lazy-imports -- what these plugins provide is there with the application */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { ISettingRegistry } from "@jupyterlab/settingregistry";

import { worldOf } from "../dialling.js";
import { colorOf, nameOf } from "../identity.js";
import { TabMemory } from "../memory.js";
import { Rooms } from "../rooms.js";
import { Settings } from "../settings.js";
import { REAL_TIME } from "../time.js";
import { IRooms, ISettings } from "../tokens.js";

export const settingsPlugin: JupyterFrontEndPlugin<ISettings> = {
  id: "embedenv-jupyter:plugin",
  description: "Reads the settings of Embedenv.",
  autoStart: true,
  provides: ISettings,
  optional: [ISettingRegistry],
  activate: (_app: JupyterFrontEnd, registry: ISettingRegistry | null): ISettings => {
    const settings = new Settings();
    registry?.load(settingsPlugin.id).then(
      (loaded) => {
        settings.follow(loaded);
      },
      (error: unknown) => {
        Notification.error(String(error));
      },
    );
    return settings;
  },
};

export const roomsPlugin: JupyterFrontEndPlugin<IRooms> = {
  id: "embedenv-jupyter:rooms",
  description: "Keeps the list of rooms, and the connections to those that the user has entered.",
  autoStart: true,
  provides: IRooms,
  activate: (app: JupyterFrontEnd): IRooms => {
    const { user } = app.serviceManager;
    const settings = app.serviceManager.serverSettings;
    const rooms = new Rooms({
      settings,
      world: worldOf(settings, REAL_TIME),
      memory: new TabMemory(settings.baseUrl, window.sessionStorage),
      identity: () => ({ user: nameOf(user.identity), color: colorOf(user.identity) }),
      complain: (message) => {
        Notification.warning(message);
      },
    });
    // Who comes in before Jupyter has said who the user is would come in as somebody.
    void Promise.allSettled([user.ready, app.restored]).then(() => {
      rooms.open();
    });
    window.addEventListener("online", () => {
      rooms.hurry();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) {
        rooms.hurry();
      }
    });
    return rooms;
  },
};
