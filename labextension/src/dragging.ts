/** Copies what is dragged from one drive's file browser to another's: JupyterLab itself moves within one drive only. */

import type { FileBrowser } from "@jupyterlab/filebrowser";
import type { Contents } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import type { Drag } from "@lumino/dragdrop";

import { isElsewhere } from "./transfer.js";

const CONTENTS_MIME = "application/x-jupyter-icontents";
const LISTING = ".jp-DirListing";
const ITEM = ".jp-DirListing-item";
const CRUMBS = ".jp-BreadCrumbs";
const CRUMB = ".jp-BreadCrumbs-home, .jp-BreadCrumbs-preferred, .jp-BreadCrumbs-item[data-path]";
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

interface IPlace {
  readonly node: Element;
  readonly folder: string;
}

interface ITarget extends IPlace {
  readonly paths: readonly string[];
}

export class Dragging implements IDisposable {
  isDisposed = false;
  private marked: Element | null = null;

  constructor(
    private readonly options: IDraggingOptions,
    private readonly document: Document,
  ) {
    // Before JupyterLab's own, which moves whatever is dropped as if it were of its drive.
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
    const place = over === null || paths.length === 0 ? null : this.placeAt(over, event);
    return place !== null &&
      paths.every((path) => isElsewhere(this.options.contents, path, place.folder))
      ? { ...place, paths }
      : null;
  }

  private placeAt(over: Element, event: Drag.Event): IPlace | null {
    const part = over.closest(`${LISTING}, ${CRUMBS}`);
    const browser = part === null ? undefined : this.options.browserOf(part);
    if (part === null || browser === undefined) {
      return null;
    }
    const item = over.closest(ITEM);
    const entry = item === null ? undefined : browser.modelForClick(event);
    if (item !== null && entry?.type === "directory") {
      return { node: item, folder: entry.path };
    }
    const crumb = over.closest<HTMLElement>(CRUMB);
    if (crumb === null) {
      return { node: part, folder: browser.model.path };
    }
    const drive = this.options.contents.driveName(browser.model.path);
    // The path of a crumb names no drive, though it is in one.
    const path = (crumb.dataset["path"] ?? "").replace(/^\//, "");
    return { node: crumb, folder: drive === "" ? path : `${drive}:${path}` };
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
