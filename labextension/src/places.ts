/** From what is in front here to what others are told of it, and back from what others tell. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import { PathExt } from "@jupyterlab/coreutils";
import type { IDocumentManager } from "@jupyterlab/docmanager";
import type { CommandRegistry } from "@lumino/commands";
import type { Widget } from "@lumino/widgets";

import { CommandIDs } from "./commands.js";
import type { IRoomDrives } from "./drives.js";
import type { IWhere } from "./protocols/rooms.js";
import type { IRoom, IRooms } from "./tokens.js";

/** A widget that shows something of a room and says so itself: a terminal, a preview. */
interface IPlaced {
  readonly roomId: string;
  readonly where: IWhere;
}

export interface IPlacesOptions {
  readonly app: JupyterFrontEnd;
  readonly rooms: IRooms;
  /** Without them, files lead nowhere. */
  readonly drives: IRoomDrives | null;
  readonly documents: IDocumentManager | null;
}

export class Places {
  private readonly commands: CommandRegistry;

  constructor(private readonly options: IPlacesOptions) {
    this.commands = options.app.commands;
  }

  /** Which room a widget of the main area is about, and what of it; `null` where it is about none. */
  of(widget: Widget | null): IPlaced | null {
    if (widget === null) {
      return null;
    }
    return isPlaced(widget) ? widget : this.ofDocument(widget);
  }

  /** What is open of a room. */
  openIn(room: IRoom): readonly Widget[] {
    const { shell } = this.options.app;
    // Notebook 7 has terminals below its one document.
    return ["main", "down"]
      .flatMap((area) => [...shell.widgets(area)])
      .filter((widget) => this.of(widget)?.roomId === room.id);
  }

  /** Closes what shows nothing any more once the room is gone; what was not saved stays, to be saved elsewhere. */
  closeWhatIsGoneWith(room: IRoom): void {
    for (const widget of this.openIn(room)) {
      const isUnsaved = this.options.documents?.contextForWidget(widget)?.model.dirty === true;
      if (!isUnsaved && this.of(widget)?.where.kind !== "kernel") {
        widget.dispose();
      }
    }
  }

  private ofDocument(widget: Widget): IPlaced | null {
    const { documents, drives } = this.options;
    const context = documents?.contextForWidget(widget);
    const roomId = context === undefined ? undefined : drives?.roomIdAt(context.path);
    if (context === undefined || roomId === undefined) {
      return this.ofKernel(widget);
    }
    const kind = context.contentsModel?.type === "notebook" ? "notebook" : "file";
    return { roomId, where: { kind, path: context.localPath } };
  }

  /** Where a notebook or a console lies is nobody's business in the room; that it runs there everybody sees. */
  private ofKernel(widget: Widget): IPlaced | null {
    const { rooms } = this.options;
    const kernel = hasSession(widget) ? widget.sessionContext.session?.kernel?.id : undefined;
    const room = rooms.all.find(({ model }) => model.kernels.some(({ id }) => id === kernel));
    return kernel === undefined || room === undefined
      ? null
      : { roomId: room.id, where: { kind: "kernel", path: kernel } };
  }

  /** Has in front what somebody else looks at, as far as it is there and this user may see it. */
  async show(room: IRoom, { kind, path }: IWhere): Promise<void> {
    switch (kind) {
      case "file":
      case "notebook": {
        const { documents, drives } = this.options;
        const full = drives?.pathOf(room.id, path);
        if (documents !== null && full !== undefined && isInside(path)) {
          documents.openOrReveal(full);
        }
        break;
      }
      case "kernel":
        await this.showKernel(room, path);
        break;
      case "terminal":
        if (room.model.terminals.some(({ name }) => name === path)) {
          await this.commands.execute(CommandIDs.openTerminal, { room: room.id, name: path });
        }
        break;
      case "preview":
        if (room.may("run")) {
          await this.commands.execute(CommandIDs.openPreview, { room: room.id, port: path });
        }
        break;
      default:
        kind satisfies never;
    }
  }

  /** The notebook that runs on a kernel of the room, if this user's server has it. */
  private async showKernel(room: IRoom, kernelId: string): Promise<void> {
    const { app, documents } = this.options;
    if (room.model.kernels.every(({ id }) => id !== kernelId)) {
      return;
    }
    const { sessions } = app.serviceManager;
    const find = (): string | undefined =>
      [...sessions.running()].find(({ kernel }) => kernel?.id === kernelId)?.path;
    if (find() === undefined) {
      await sessions.refreshRunning();
    }
    const path = find();
    if (path !== undefined) {
      documents?.openOrReveal(path);
    }
  }
}

/** The gateway has looked already; a path that leads elsewhere is not followed here either. */
function isInside(path: string): boolean {
  return path !== "" && !PathExt.normalize(path).startsWith("..") && !path.startsWith("/");
}

function hasSession(
  widget: object,
): widget is { readonly sessionContext: Pick<ISessionContext, "session"> } {
  return "sessionContext" in widget;
}

function isPlaced(widget: object): widget is IPlaced {
  return "roomId" in widget && "where" in widget;
}
