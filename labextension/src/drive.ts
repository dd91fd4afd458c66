/**
 * The files of a room as a drive of JupyterLab: `Room-name:path`.
 *
 * JupyterLab's own `Drive` on the room's prefix, and what rooms have beyond it: text files are edited
 * together, a save takes effect only on the content that was loaded, and what changes in the room shows.
 */

import type { ISharedDocument } from "@jupyter/ydoc";
import type { Contents, IContentProvider } from "@jupyterlab/services";
import { Drive, RestContentProvider, ServerConnection } from "@jupyterlab/services";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { SharedDocument, SharedDocuments } from "./documents.js";

/** Somebody changed a file after it was loaded here. */
export interface IConflict {
  /** In this drive. */
  readonly path: string;
  /** What is to be saved. */
  readonly wanted: Partial<Contents.IModel>;
  /** The SHA-256 of what is in the room; `null` where the file is gone. */
  readonly hash: string | null;
}

export interface IRoomDriveOptions {
  readonly name: string;
  readonly serverSettings: ServerConnection.ISettings;
  readonly documents: SharedDocuments;
  /** Says in words that a file has too many bytes to be edited together. */
  readonly tooLarge: (size: number, most: number) => string;
  /** Asks what becomes of a conflict: true replaces what is in the room. */
  readonly replaces: (conflict: IConflict) => Promise<boolean>;
}

/** Of a text that is edited together, as docs/files.md has it. */
const MAX_SHARED_BYTES = 8 << 20;
const CHANGES = "embedenv-room-changes";

export class RoomDrive extends Drive {
  readonly documents: SharedDocuments;
  private readonly tooLarge: (size: number, most: number) => string;
  private readonly replaces: (conflict: IConflict) => Promise<boolean>;
  private readonly changes: Changes;
  /** The SHA-256 of what was loaded or saved last, by path. */
  private readonly loaded = new Map<string, string>();

  constructor({ name, serverSettings, documents, replaces, tooLarge }: IRoomDriveOptions) {
    super({ name, serverSettings });
    this.documents = documents;
    this.replaces = replaces;
    this.tooLarge = tooLarge;
    this.changes = new Changes(this);
    this.contentProviderRegistry.register(CHANGES, this.changes);
  }

  readonly sharedModelFactory: Contents.ISharedFactory = {
    collaborative: true,
    createNew: (options: Contents.ISharedFactoryOptions): ISharedDocument | undefined => {
      if (options.format !== "text" || options.contentType !== "file" || !options.collaborative) {
        return undefined;
      }
      return this.documents.create(this.localPath(options.path)).model;
    },
  };

  override async get(path: string, options?: Contents.IFetchOptions): Promise<Contents.IModel> {
    const document = this.documents.at(path);
    if (document !== undefined && options?.format === "text") {
      // The text comes by the document's own socket.
      await Promise.race([document.ready, this.obstacle(path, document)]);
      return { ...(await super.get(path, { ...options, content: false })), format: "text" };
    }
    const model = await super.get(path, options);
    if (options?.hash !== true || document !== undefined) {
      return model;
    }
    if (options.content === true) {
      this.remember(path, model);
      return model;
    }
    // Asked before a save, to compare: the room itself does that when it writes, and nothing comes between.
    const hash = this.loaded.get(path);
    return hash === undefined ? model : { ...model, hash };
  }

  /** The SHA-256 of what is in the room now; `null` where the file is gone. */
  async hashOf(path: string): Promise<string | null> {
    try {
      return (await super.get(path, { content: false, hash: true })).hash ?? null;
    } catch (error) {
      if (statusOf(error) === 404) {
        return null;
      }
      throw error;
    }
  }

  /** What is in the room now, in the same form as what is to be saved; nothing of it is loaded by this. */
  async present(path: string, like: Partial<Contents.IModel>): Promise<Contents.IModel> {
    const { format, type } = like;
    const form = { ...(type && { type }), ...(format && { format }) };
    return super.get(path, { ...form, content: true });
  }

  /** What was loaded or saved here last. */
  loadedHash(path: string): string | undefined {
    return this.loaded.get(path);
  }

  override async save(
    path: string,
    options: Partial<Contents.IModel> = {},
  ): Promise<Contents.IModel> {
    const document = this.documents.at(path);
    if (document !== undefined && options.content === document.model.source) {
      // The room saves what is edited together.
      const model = await super.get(path, { content: false, hash: true });
      this.told({ type: "save", oldValue: null, newValue: model });
      return model;
    }
    const hash = this.loaded.get(path);
    if (hash === undefined || options.chunk !== undefined || options.type === "directory") {
      return super.save(path, options);
    }
    return this.saveOnto(path, options, hash);
  }

  override async rename(path: string, newPath: string): Promise<Contents.IModel> {
    const documents = this.documents.below(path);
    const renamed = Promise.resolve().then(() => super.rename(path, newPath));
    const move = async ({ path: old }: SharedDocument): Promise<string> => {
      await renamed;
      return `${newPath}${old.slice(path.length)}`;
    };
    await Promise.all(documents.map((document) => document.moving(() => move(document))));
    return renamed;
  }

  override async delete(path: string): Promise<void> {
    await super.delete(path);
    this.loaded.delete(path);
  }

  /** Something else than this drive changed files. */
  told(change: Contents.IChangedArgs): void {
    this.changes.emit(change);
  }

  override dispose(): void {
    this.documents.dispose();
    super.dispose();
  }

  /** The path within this drive of one that may name it. */
  localPath(path: string): string {
    return path.startsWith(`${this.name}:`) ? path.slice(this.name.length + 1) : path;
  }

  /** Saves on the condition that the file still has this content. */
  private async saveOnto(
    path: string,
    wanted: Partial<Contents.IModel>,
    hash: string,
  ): Promise<Contents.IModel> {
    const init = { ...this.serverSettings.init, headers: { "If-Match": `"${hash}"` } };
    const provider = new RestContentProvider({
      apiEndpoint: "api/contents",
      serverSettings: ServerConnection.makeSettings({ ...this.serverSettings, init }),
    });
    let model: Contents.IModel;
    try {
      model = await provider.save(path, wanted);
    } catch (error) {
      if (statusOf(error) === 412) {
        return this.settle(path, wanted, await this.hashOf(path));
      }
      throw error;
    }
    this.remember(path, model);
    this.told({ type: "save", oldValue: null, newValue: model });
    return model;
  }

  /** Finds out why a document does not come; without a reason it may come later. */
  private async obstacle(path: string, document: SharedDocument): Promise<void> {
    await document.notConnected;
    const { size } = await super.get(path, { type: "file", format: "text", content: true });
    if (size !== undefined && size > MAX_SHARED_BYTES) {
      throw new Error(this.tooLarge(size, MAX_SHARED_BYTES));
    }
    await document.ready;
  }

  private async settle(
    path: string,
    wanted: Partial<Contents.IModel>,
    hash: string | null,
  ): Promise<Contents.IModel> {
    if (!(await this.replaces({ path, wanted, hash }))) {
      const error = new Error("Cancel");
      // JupyterLab's name for a save that the user gave up.
      error.name = "ModalCancelError";
      throw error;
    }
    if (hash !== null) {
      return this.saveOnto(path, wanted, hash);
    }
    this.loaded.delete(path);
    const model = await super.save(path, wanted);
    this.remember(path, model);
    return model;
  }

  private remember(path: string, model: Contents.IModel): void {
    if (typeof model.hash === "string") {
      this.loaded.set(path, model.hash);
    }
  }
}

/** What tells JupyterLab of changes: a drive's own signal is private, that of its providers is not. */
class Changes implements IContentProvider {
  private readonly signal = new Signal<this, Contents.IChangedArgs>(this);

  constructor(private readonly drive: RoomDrive) {}

  get fileChanged(): ISignal<this, Contents.IChangedArgs> {
    return this.signal;
  }

  emit(change: Contents.IChangedArgs): void {
    this.signal.emit(change);
  }

  get(path: string, options?: Contents.IFetchOptions): Promise<Contents.IModel> {
    return this.drive.get(path, without(options));
  }

  save(path: string, options?: Partial<Contents.IModel>): Promise<Contents.IModel> {
    return this.drive.save(path, without(options));
  }
}

function without<T extends object>(options: T | undefined): T | undefined {
  return options === undefined ? undefined : { ...options, contentProviderId: undefined };
}

function statusOf(error: unknown): number | null {
  return error instanceof ServerConnection.ResponseError ? error.response.status : null;
}
