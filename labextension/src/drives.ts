/** The drives of the rooms that this browser may see. */

import type { Contents, ServerConnection } from "@jupyterlab/services";
import { Token } from "@lumino/coreutils";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { IWorld } from "./dialling.js";
import type { IUser } from "./documents.js";
import { SharedDocuments } from "./documents.js";
import type { IConflict } from "./drive.js";
import { RoomDrive } from "./drive.js";
import type { DriveNames } from "./drive_names.js";
import { settingsOfRoom } from "./request.js";
import type { IRoom, IRooms } from "./tokens.js";

/** Finds rooms by paths, and the other way round. */
export interface IRoomDrives {
  /** The drive of a room; `undefined` for rooms that are not to be seen. */
  of(roomId: string): RoomDrive | undefined;
  /** The room that a path of JupyterLab leads into, where its drive is one of ours. */
  roomIdAt(path: string): string | undefined;
  /** A path of JupyterLab to a file of a room. */
  pathOf(roomId: string, path: string): string | undefined;
  /** Files of a room were changed by somebody or something. */
  readonly changed: ISignal<IRoomDrives, IFilesChanged>;
}

export interface IFilesChanged {
  readonly roomId: string;
  readonly drive: RoomDrive;
  /** In the drive; of what programs change, only the folder is known. */
  readonly paths: readonly string[];
  /** A run has ended: any file may be another one. */
  readonly isRunEnd: boolean;
}

export const IRoomDrives = new Token<IRoomDrives>(
  "embedenv-jupyter:IRoomDrives",
  "The files of rooms, as drives of JupyterLab.",
);

export interface IRoomDrivesOptions {
  readonly rooms: IRooms;
  readonly contents: Contents.IManager;
  readonly settings: ServerConnection.ISettings;
  readonly names: DriveNames;
  readonly world: IWorld;
  /** Who this user is where a room does not say otherwise. */
  readonly user: () => IUser;
  readonly replaces: (drive: RoomDrive, conflict: IConflict) => Promise<boolean>;
  readonly tooLarge: (size: number, most: number) => string;
  /** Hears that a file is shared no longer. */
  readonly parted: (drive: string, path: string, reason: string) => void;
}

export class RoomDrives implements IRoomDrives {
  private readonly drives = new Map<string, RoomDrive>();
  private readonly changedSignal = new Signal<this, IFilesChanged>(this);

  constructor(private readonly options: IRoomDrivesOptions) {
    const { names, rooms } = options;
    // Before the gateway has told its rooms: JupyterLab opens again what was open before a reload.
    for (const [roomId, name] of names.all()) {
      this.add(roomId, name);
    }
    void rooms.ready.then(() => {
      this.compare();
      rooms.changed.connect(this.compare, this);
    });
    rooms.happened.connect((_, { room, event }) => {
      if (event.what.event === "files") {
        this.tell(room.id, event.what.paths, false);
      } else if (event.what.event === "run-ended") {
        this.tell(room.id, [], true);
      }
    });
  }

  get changed(): ISignal<this, IFilesChanged> {
    return this.changedSignal;
  }

  of(roomId: string): RoomDrive | undefined {
    return this.drives.get(roomId);
  }

  roomIdAt(path: string): string | undefined {
    const name = this.options.contents.driveName(path);
    return [...this.drives].find(([, drive]) => drive.name === name)?.[0];
  }

  pathOf(roomId: string, path: string): string | undefined {
    const drive = this.drives.get(roomId);
    return drive && `${drive.name}:${path}`;
  }

  /** Has a drive for each room, and none for others. */
  private compare(): void {
    const { names, rooms } = this.options;
    const present = new Map(rooms.all.map((room) => [room.id, room]));
    for (const [roomId, drive] of this.drives) {
      if (!present.has(roomId)) {
        this.drives.delete(roomId);
        drive.dispose();
      }
    }
    names.keep(new Set(present.keys()));
    for (const room of present.values()) {
      const drive = this.drives.get(room.id);
      if (drive === undefined) {
        this.add(room.id, names.nameFor(room.id, room.name));
      } else {
        drive.documents.introduce();
      }
    }
  }

  private add(roomId: string, name: string): void {
    const { contents, parted, replaces, rooms, settings, tooLarge, user, world } = this.options;
    const room = (): IRoom | undefined => rooms.get(roomId);
    const documents = new SharedDocuments({
      settings,
      roomId,
      world,
      user: () => room()?.self ?? user(),
      mayWrite: () => room()?.may("edit") ?? false,
      parted: (path, reason) => {
        parted(name, path, reason);
      },
    });
    const serverSettings = settingsOfRoom(settings, roomId);
    const drive: RoomDrive = new RoomDrive({
      name,
      serverSettings,
      documents,
      tooLarge,
      replaces: (conflict) => replaces(drive, conflict),
    });
    this.drives.set(roomId, drive);
    contents.addDrive(drive);
  }

  private tell(roomId: string, paths: readonly string[], isRunEnd: boolean): void {
    const drive = this.drives.get(roomId);
    if (drive === undefined) {
      return;
    }
    for (const path of paths.slice(0, MAX_TOLD)) {
      drive.told({ type: "save", oldValue: null, newValue: { path } });
    }
    this.changedSignal.emit({ roomId, drive, paths, isRunEnd });
  }
}

/** A program may write thousands of files at once; those beyond are seen when their folder is refreshed. */
const MAX_TOLD = 100;
