import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IRunningSessionManagers } from "@jupyterlab/running";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { CommandIDs } from "../commands.js";
import { roomIcon } from "../icons.js";
import { IRooms } from "../tokens.js";

export const runningPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:running",
  description: "Lists the rooms among what runs.",
  autoStart: true,
  requires: [IRooms],
  optional: [IRunningSessionManagers, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    running: IRunningSessionManagers | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    running?.add({
      name: trans.__("Embedenv Rooms"),
      running: () =>
        rooms.all.map((room) => ({
          open: () => void commands.execute(CommandIDs.showRooms),
          // Who may not stop it can only go; both ask or say first what that means.
          shutdown: () =>
            void commands.execute(room.may("own") ? CommandIDs.stopRoom : CommandIDs.leaveRoom, {
              room: room.id,
            }),
          icon: () => roomIcon,
          label: () => room.name,
          labelTitle: () => trans.__("%1, %2", room.name, room.model.tier),
          detail: () => trans._n("%1 member", "%1 members", room.model.members.length),
        })),
      shutdownAll: () => {
        for (const room of rooms.all.filter((one) => one.may("own"))) {
          void commands.execute(CommandIDs.stopRoom, { room: room.id, isConfirmed: true });
        }
      },
      refreshRunning: () => void rooms.refresh(),
      runningChanged: rooms.changed,
      shutdownLabel: trans.__("Stop"),
      shutdownAllLabel: trans.__("Stop All"),
      shutdownAllConfirmationText: trans.__(
        "Stop all your rooms? Their files and all that runs in them are gone then.",
      ),
    });
  },
};
