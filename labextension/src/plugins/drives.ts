/** The files of rooms as drives of JupyterLab, `Room-name:`, for the file browser and for every editor. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { IDocumentManager } from "@jupyterlab/docmanager";
import type { DocumentRegistry } from "@jupyterlab/docregistry";
import type { TranslationBundle } from "@jupyterlab/translation";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { comparable } from "../comparable.js";
import { worldOf } from "../dialling.js";
import type { IConflict, RoomDrive } from "../drive.js";
import { DriveNames } from "../drive_names.js";
import type { IFilesChanged } from "../drives.js";
import { IRoomDrives, RoomDrives } from "../drives.js";
import { colorOf, nameOf } from "../identity.js";
import { REAL_TIME } from "../time.js";
import { IRooms } from "../tokens.js";
import { askAboutConflict } from "../widgets/conflict.js";

export const drivesPlugin: JupyterFrontEndPlugin<IRoomDrives> = {
  id: "embedenv-jupyter:drives",
  description: "Provides the files of rooms as drives.",
  autoStart: true,
  provides: IRoomDrives,
  requires: [IRooms, IDocumentManager],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    documents: IDocumentManager,
    translator: ITranslator | null,
  ): IRoomDrives => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const open = { documents, shell: app.shell };
    const { contents, serverSettings, user } = app.serviceManager;
    const drives = new RoomDrives({
      rooms,
      contents,
      settings: serverSettings,
      names: new DriveNames(serverSettings.baseUrl, localStorage),
      world: worldOf(serverSettings, REAL_TIME),
      user: () => ({ user: nameOf(user.identity), color: colorOf(user.identity) }),
      replaces: (drive, conflict) => settle(drive, conflict, open, trans),
      parted: (drive, path, reason) => {
        Notification.warning(trans.__("“%1:%2” is not shared any more: %3", drive, path, reason), {
          autoClose: false,
        });
      },
    });
    drives.changed.connect((_, changed) => void reload(changed, open));
    return drives;
  },
};

/** Where files are open. */
interface IOpen {
  readonly documents: IDocumentManager;
  readonly shell: JupyterFrontEnd.IShell;
}

/** Finds out what the user wants; true is to replace what is in the room. */
async function settle(
  drive: RoomDrive,
  { path, wanted, hash }: IConflict,
  open: IOpen,
  trans: TranslationBundle,
): Promise<boolean> {
  const fullPath = `${drive.name}:${path}`;
  const context = contextsOf(open, fullPath)[0];
  if (context === undefined) {
    // An upload: JupyterLab has asked already whether it replaces what is there.
    return true;
  }
  const decision = await askAboutConflict(
    {
      path: fullPath,
      isGone: hash === null,
      versions: async () => {
        const theirs = comparable(await drive.present(path, wanted));
        const mine = comparable(wanted);
        return theirs === null || mine === null ? null : { theirs, mine };
      },
    },
    trans,
  );
  if (decision === "revert") {
    await context.revert();
  }
  return decision === "overwrite";
}

/** What changed in the room shows at once in what is open here and was not touched. */
async function reload({ drive, paths }: IFilesChanged, open: IOpen): Promise<void> {
  for (const path of paths) {
    const stale = contextsOf(open, `${drive.name}:${path}`).filter(
      ({ isReady, model }) => isReady && !model.collaborative && !model.dirty,
    );
    if (stale.length > 0) {
      const hash = await drive.hashOf(path);
      if (hash !== null && hash !== drive.loadedHash(path)) {
        await Promise.all(stale.map((context) => context.revert()));
      }
    }
  }
}

/** What of the main area shows a file; several, where it is open in different ways. */
function contextsOf(
  { documents, shell }: IOpen,
  path: string,
): readonly DocumentRegistry.Context[] {
  const contexts = [...shell.widgets("main")]
    .map((widget) => documents.contextForWidget(widget))
    .filter((context) => context !== undefined);
  return [...new Set(contexts)].filter((context) => context.path === path);
}
