/** Shows in one notebook who ran its cells, while its kernel is one of a room. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { IDisposable } from "@lumino/disposable";
import { Debouncer } from "@lumino/polling";
import { Signal } from "@lumino/signaling";
import { PanelLayout } from "@lumino/widgets";

import { CellAuthors } from "../cell_authors.js";
import type { IRooms, ISettings } from "../tokens.js";
import { CellAuthor } from "./cell_author.js";

type Cell = NotebookPanel["content"]["widgets"][number];

const INPUT = "jp-Cell-inputWrapper";
/** All cells of a notebook may be run at once. */
const LOAD_MS = 200;

export interface INotebookAuthorsOptions {
  readonly panel: NotebookPanel;
  readonly rooms: IRooms;
  readonly settings: ISettings;
  readonly trans: TranslationBundle;
}

export class NotebookAuthors implements IDisposable {
  isDisposed = false;
  private authors: CellAuthors | null = null;
  private kernel: Kernel.IKernelConnection | null = null;
  private readonly lines = new WeakMap<Cell, CellAuthor>();
  private readonly load = new Debouncer(() => this.authors?.load(), LOAD_MS);

  constructor(private readonly options: INotebookAuthorsOptions) {
    const { panel, rooms, settings } = options;
    panel.sessionContext.kernelChanged.connect(this.look, this);
    panel.content.modelChanged.connect(this.modelChanged, this);
    this.modelChanged();
    rooms.changed.connect(this.look, this);
    settings.changed.connect(this.draw, this);
    this.look();
  }

  dispose(): void {
    if (!this.isDisposed) {
      this.isDisposed = true;
      this.load.dispose();
      this.authors?.dispose();
      Signal.clearData(this);
    }
  }

  private modelChanged(): void {
    this.options.panel.content.model?.cells.changed.connect(this.draw, this);
  }

  /** Looks which room the kernel is in now. */
  private look(): void {
    const kernel = this.options.panel.sessionContext.session?.kernel ?? null;
    if (kernel !== this.kernel) {
      this.kernel?.iopubMessage.disconnect(this.heard, this);
      kernel?.iopubMessage.connect(this.heard, this);
      this.kernel = kernel;
    }
    const room = this.options.rooms.all.find(({ model }) =>
      model.kernels.some(({ id }) => id === kernel?.id),
    );
    const { authors } = this;
    if (room?.id !== authors?.room.id || kernel?.id !== authors?.kernelId || authors === null) {
      this.authors?.dispose();
      this.authors = null;
      if (room !== undefined && kernel !== null) {
        this.authors = new CellAuthors(this.options.rooms, room, kernel.id);
        this.authors.changed.connect(this.draw, this);
        this.ask();
      }
    }
    this.draw();
  }

  /** Who is not in the room is not told who runs what, but hears from the kernel that somebody does. */
  private heard(_: unknown, message: KernelMessage.IIOPubMessage): void {
    if (message.header.msg_type === "execute_input" && this.authors?.room.self === null) {
      this.ask();
    }
  }

  private ask(): void {
    // Without an answer the cells stay as they are, and the next run asks again.
    this.load.invoke().catch(() => undefined);
  }

  private draw(): void {
    const { panel, settings } = this.options;
    const authors = settings.now.cellAuthors ? this.authors : null;
    for (const cell of panel.content.widgets) {
      const run = authors?.of(cell.model.id) ?? null;
      if (run === null) {
        this.lines.get(cell)?.present(null, false);
      } else {
        this.lineOf(cell)?.present(run, run.author.id === authors?.room.self?.id);
      }
    }
  }

  /** The line of a cell; `null` while the notebook has not drawn the cell. */
  private lineOf(cell: Cell): CellAuthor | null {
    const known = this.lines.get(cell);
    if (known !== undefined) {
      return known;
    }
    const { layout } = cell;
    const input =
      layout instanceof PanelLayout ? layout.widgets.findIndex((part) => part.hasClass(INPUT)) : -1;
    if (!(layout instanceof PanelLayout) || input < 0) {
      void cell.ready.then(() => {
        if (!this.isDisposed && !cell.isDisposed) {
          this.draw();
        }
      });
      return null;
    }
    const line = new CellAuthor(this.options.trans);
    layout.insertWidget(input + 1, line);
    this.lines.set(cell, line);
    return line;
  }
}
