/** The terminals of rooms, through JupyterLab's own client for terminals. */

import type { ServerConnection, Terminal } from "@jupyterlab/services";
import { TerminalAPI, TerminalManager } from "@jupyterlab/services";

import { settingsOfRoom } from "./request.js";

/** One manager for each room that has had a terminal open here. */
export class Terminals {
  private readonly managers = new Map<string, TerminalManager>();

  constructor(private readonly settings: ServerConnection.ISettings) {}

  /** Connects to a terminal of a room by its name, or to a new one. */
  async open(roomId: string, name: string | null): Promise<Terminal.ITerminalConnection> {
    const manager = this.managerOf(roomId);
    return name === null ? manager.startNew() : manager.connectTo({ model: { name } });
  }

  /** Whether a room has a terminal of this name. */
  async has(roomId: string, name: string): Promise<boolean> {
    const models = await TerminalAPI.listRunning(settingsOfRoom(this.settings, roomId));
    return models.some((model) => model.name === name);
  }

  /** Ends a terminal, for everybody. */
  async end(roomId: string, name: string): Promise<void> {
    await this.managerOf(roomId).shutdown(name);
  }

  /** The room has ended, or is not to be seen any more. */
  forget(roomId: string): void {
    this.managers.get(roomId)?.dispose();
    this.managers.delete(roomId);
  }

  /** Forgets the terminals of all other rooms. */
  keep(roomIds: ReadonlySet<string>): void {
    [...this.managers.keys()].filter((id) => !roomIds.has(id)).forEach((id) => this.forget(id));
  }

  private managerOf(roomId: string): TerminalManager {
    const known = this.managers.get(roomId);
    if (known !== undefined) {
      return known;
    }
    const serverSettings = settingsOfRoom(this.settings, roomId);
    // The gateway tells which terminals there are: nothing is to be asked again and again.
    const manager = new TerminalManager({ serverSettings, standby: () => true });
    this.managers.set(roomId, manager);
    return manager;
  }
}
