/** What the user has set, as schema/plugin.json describes it; JupyterLab has checked and completed it. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import { Fields } from "./protocols/fields.js";
import type { ISettings } from "./tokens.js";

export interface IPreferences {
  readonly newRoom: {
    readonly startKernel: boolean;
    readonly memoryMiB: number;
    readonly cpuCores: number;
    readonly network: boolean;
  };
  readonly notifications: {
    readonly members: boolean;
    readonly runs: boolean;
    readonly ports: boolean;
    readonly idle: boolean;
    readonly lowCredits: number;
  };
  readonly keepSeconds: number;
  readonly statusBar: boolean;
  /** Say by each cell of a shared notebook who ran it last. */
  readonly cellAuthors: boolean;
}

export class Settings implements ISettings {
  now = preferences(null);
  private readonly changedSignal = new Signal<this, void>(this);

  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  /** Follows the user's settings from now on. */
  follow(settings: ISettingRegistry.ISettings): void {
    settings.changed.connect(this.take, this);
    this.take(settings);
  }

  private take(settings: ISettingRegistry.ISettings): void {
    this.now = preferences(settings);
    this.changedSignal.emit();
  }
}

/** Reads the settings; without them (another front end may have none) everything is as the schema has it. */
export function preferences(settings: ISettingRegistry.ISettings | null): IPreferences {
  const all = Fields.of(settings?.composite ?? {});
  const newRoom = all.child("newRoom");
  const notifications = all.child("notifications");
  return {
    newRoom: {
      startKernel: flag(newRoom, "startKernel"),
      memoryMiB: newRoom.number("memoryMiB", 0),
      cpuCores: newRoom.number("cpuCores", 0),
      network: flag(newRoom, "network"),
    },
    notifications: {
      members: flag(notifications, "members"),
      runs: flag(notifications, "runs"),
      ports: flag(notifications, "ports"),
      idle: flag(notifications, "idle"),
      lowCredits: notifications.number("lowCredits", 20),
    },
    keepSeconds: all.number("keepSeconds", 3600),
    statusBar: flag(all, "statusBar"),
    cellAuthors: flag(all, "cellAuthors"),
  };
}

function flag(fields: Fields, name: string): boolean {
  return !fields.has(name) || fields.flag(name);
}
