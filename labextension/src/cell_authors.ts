/** Who ran the cells of one kernel in a room, as the gateway knows it: no message names its own author. */

import type { IDisposable } from "@lumino/disposable";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { ICellRun } from "./protocols/rooms.js";
import type { IRoom, IRoomEvent, IRooms } from "./tokens.js";

export class CellAuthors implements IDisposable {
  isDisposed = false;
  private runs = new Map<string, ICellRun>();
  private readonly changedSignal = new Signal<this, void>(this);

  constructor(
    private readonly rooms: IRooms,
    readonly room: IRoom,
    readonly kernelId: string,
  ) {
    rooms.happened.connect(this.happened, this);
  }

  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  /** Who ran a cell last; `null` where nobody did, or it need not be said: who is alone knows. */
  of(cell: string): ICellRun | null {
    return this.isShared ? (this.runs.get(cell) ?? null) : null;
  }

  /** Asks for all of them: what was run before this browser listened, or while it did not. */
  async load(): Promise<void> {
    const loaded = await this.rooms.api.cellRuns(this.room.id, this.kernelId);
    if (!this.isDisposed) {
      // What was told meanwhile may be newer.
      const told = [...this.runs.values()];
      this.runs = new Map(loaded.map((run) => [run.cell, run]));
      told.forEach((run) => this.add(run));
      this.changedSignal.emit();
    }
  }

  dispose(): void {
    this.isDisposed = true;
    Signal.clearData(this);
  }

  private get isShared(): boolean {
    const { model, self } = this.room;
    const isOthers = ({ author }: ICellRun): boolean => author.id !== self?.id;
    return self === null || model.members.length > 1 || [...this.runs.values()].some(isOthers);
  }

  private happened(_: IRooms, { event, room }: IRoomEvent): void {
    const { what } = event;
    if (what.event !== "run-started" || what.kernel !== this.kernelId || what.cell === "") {
      return;
    }
    if (room.id === this.room.id) {
      const author = { id: what.member, user: what.user, color: what.color };
      this.add({ cell: what.cell, author, at: event.at });
      this.changedSignal.emit();
    }
  }

  private add(run: ICellRun): void {
    if (run.at >= (this.runs.get(run.cell)?.at ?? 0)) {
      this.runs.set(run.cell, run);
    }
  }
}
