/** The files of rooms as drives of JupyterLab, `Room-name:`, for the file browser and for every editor. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { PathExt } from "@jupyterlab/coreutils";
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
import { bytes } from "../format.js";
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
      tooLarge: (size, most) =>
        trans.__(
          "The file has %1; files of up to %2 can be edited here. It can be downloaded.",
          bytes(size),
          bytes(most),
        ),
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
  const context = contextsOf(open, (each) => each === fullPath)[0];
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
async function reload({ drive, paths, isRunEnd }: IFilesChanged, open: IOpen): Promise<void> {
  const changed = new Set(paths);
  const isHere = (path: string): boolean => path.startsWith(`${drive.name}:`);
  const isChanged = (path: string): boolean => isHere(path) && changed.has(drive.localPath(path));
  for (const { model } of contextsOf(open, isChanged)) {
    if (model.collaborative) {
      // The room has saved what is edited together.
      model.dirty = false;
    }
  }
  const stale = contextsOf(open, (path) => {
    const local = drive.localPath(path);
    const isNear = isRunEnd || changed.has(local) || changed.has(PathExt.dirname(local));
    return isHere(path) && isNear;
  }).filter(({ isReady, model }) => isReady && !model.collaborative && !model.dirty);
  for (const context of stale) {
    const path = drive.localPath(context.path);
    const hash = await drive.hashOf(path);
    if (hash !== null && hash !== drive.loadedHash(path) && !context.model.dirty) {
      await context.revert();
    }
  }
}

/** What of the main area shows certain files. */
function contextsOf(
  { documents, shell }: IOpen,
  isMeant: (path: string) => boolean,
): readonly DocumentRegistry.Context[] {
  const contexts = [...shell.widgets("main")]
    .map((widget) => documents.contextForWidget(widget))
    .filter((context) => context !== undefined);
  return [...new Set(contexts)].filter(({ path }) => isMeant(path));
}
