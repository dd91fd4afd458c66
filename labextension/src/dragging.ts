/** Copies what is dragged from one drive's file browser to another's: JupyterLab itself moves within one drive only. */

import type { FileBrowser } from "@jupyterlab/filebrowser";
import type { Contents } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import type { Drag } from "@lumino/dragdrop";

import { isElsewhere } from "./transfer.js";

const CONTENTS_MIME = "application/x-jupyter-icontents";
const LISTING = ".jp-DirListing";
const ITEM = ".jp-DirListing-item";
/** JupyterLab draws it for folders, we for what is no folder's. */
const MARK = "jp-mod-dropTarget";
const EVENTS = ["lm-dragenter", "lm-dragover", "lm-dragleave", "lm-dragexit", "lm-drop"] as const;

export interface IDraggingOptions {
  readonly contents: Contents.IManager;
  /** The file browser that a node is in. */
  readonly browserOf: (node: Element) => FileBrowser | undefined;
  /** Copies into a folder. */
  readonly copy: (paths: readonly string[], folder: string) => void;
}

interface ITarget {
  readonly node: Element;
  readonly folder: string;
  readonly paths: readonly string[];
}

export class Dragging implements IDisposable {
  isDisposed = false;
  private marked: Element | null = null;

  constructor(
    private readonly options: IDraggingOptions,
    private readonly document: Document,
  ) {
    // Before the listing itself, which wants to hear of folders of its own drive only.
    EVENTS.forEach((type) => {
      document.addEventListener(type, this, true);
    });
  }

  dispose(): void {
    this.isDisposed = true;
    this.mark(null);
    EVENTS.forEach((type) => {
      this.document.removeEventListener(type, this, true);
    });
  }

  handleEvent(event: Event): void {
    // Of Lumino: no other events have these names.
    const dragged = event as Drag.Event;
    const target = this.targetOf(dragged);
    const isOver = event.type === "lm-dragenter" || event.type === "lm-dragover";
    this.mark(isOver && target !== null ? target.node : null);
    if (target === null || event.type === "lm-dragleave" || event.type === "lm-dragexit") {
      return;
    }
    dragged.preventDefault();
    dragged.stopPropagation();
    dragged.dropAction = dragged.proposedAction;
    if (event.type === "lm-drop") {
      this.options.copy(target.paths, target.folder);
    }
  }

  /** Where all that is dragged may be copied to; `null` where that is nowhere, or JupyterLab's own business. */
  private targetOf(event: Drag.Event): ITarget | null {
    const paths = pathsIn(event);
    const over = event.target instanceof Element ? event.target : null;
    const listing = over?.closest(LISTING) ?? null;
    const browser = listing === null ? undefined : this.options.browserOf(listing);
    if (paths.length === 0 || over === null || listing === null || browser === undefined) {
      return null;
    }
    const entry = browser.modelForClick(event);
    const isFolder = entry?.type === "directory";
    const folder = isFolder ? entry.path : browser.model.path;
    return paths.every((path) => isElsewhere(this.options.contents, path, folder))
      ? { node: (isFolder ? over.closest(ITEM) : null) ?? listing, folder, paths }
      : null;
  }

  private mark(node: Element | null): void {
    if (node !== this.marked) {
      this.marked?.classList.remove(MARK);
      node?.classList.add(MARK);
      this.marked = node;
    }
  }
}

function pathsIn(event: Drag.Event): readonly string[] {
  const data: unknown = event.mimeData.getData(CONTENTS_MIME);
  return Array.isArray(data) ? data.filter((path) => typeof path === "string") : [];
}
