import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { Debouncer } from "@lumino/polling";

import { IRoomDrives } from "../drives.js";
// What is in front is looked at from the start.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { Places } from "../places.js";
import { IRooms } from "../tokens.js";

/** Who goes through their tabs is told of where they stop. */
const SETTLE_MS = 150;

export const presencePlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:presence",
  description: "Tells the members of a room what of it this user has in front.",
  autoStart: true,
  requires: [IRooms],
  optional: [IRoomDrives, IDocumentManager],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    drives: IRoomDrives | null,
    documents: IDocumentManager | null,
  ): void => {
    const places = new Places({ app, rooms, drives, documents });
    const tell = new Debouncer(() => {
      const place = places.of(app.shell.currentWidget);
      for (const room of rooms.all) {
        room.look(room.id === place?.roomId ? place.where : null);
      }
    }, SETTLE_MS);
    const look = (): void => {
      tell.invoke().catch(() => undefined);
    };
    app.shell.currentChanged?.connect(look);
    // A room was entered, or the kernel of what is in front has started.
    rooms.changed.connect(look);
  },
};
