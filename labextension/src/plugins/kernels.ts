import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";

import { IRooms } from "../tokens.js";

export const kernelsPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:kernels",
  description: "Keeps the kernels of rooms in the kernel picker.",
  autoStart: true,
  requires: [IRooms],
  activate: (app: JupyterFrontEnd, rooms: IRooms): void => {
    const { kernelspecs } = app.serviceManager;
    let shown: string | null = null;
    /** The server has a kernel spec for each room, by its name; this browser asks for them seldom. */
    const follow = (): void => {
      if (rooms.link.state !== "connected") {
        return;
      }
      const now = JSON.stringify(rooms.all.map((room) => [room.id, room.name]));
      if (now !== shown) {
        const isFirst = shown === null;
        shown = now;
        if (!isFirst || rooms.all.length > 0) {
          // A server that does not answer now is asked again by JupyterLab itself.
          kernelspecs.refreshSpecs().catch(() => undefined);
        }
      }
    };
    rooms.changed.connect(follow, rooms);
  },
};
