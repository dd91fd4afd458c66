/** The text files of one room that are open here, each shared with whoever else has it open. */

import { YFile } from "@jupyter/ydoc";
import type { ServerConnection } from "@jupyterlab/services";
import { PromiseDelegate } from "@lumino/coreutils";
import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import { Connection } from "./connection.js";
import type { IWorld } from "./dialling.js";
import { dialling } from "./dialling.js";
import { ConnectionLostError } from "./errors.js";
import { DocumentConversation } from "./protocols/documents.js";
import { socketUrlOf } from "./request.js";

/** No access, room ended, or a file that cannot be shared: another connection would fare no better. */
const FINAL_CODES = new Set([1000, 1003, 1007, 1008, 1009, 4000, 4001]);

export interface IUser {
  readonly user: string;
  /** `#rrggbb`. */
  readonly color: string;
}

export interface IDocumentsOptions {
  readonly settings: ServerConnection.ISettings;
  readonly roomId: string;
  readonly world: IWorld;
  readonly user: () => IUser;
  readonly mayWrite: () => boolean;
  /** Hears that a document is shared no longer, and why. */
  readonly parted: (path: string, reason: string) => void;
}

interface ITalk {
  readonly conversation: DocumentConversation;
  readonly connection: Connection;
}

/** One document, as this browser has it. */
export class SharedDocument {
  readonly model = YFile.create();
  private readonly roleSignal = new Signal<this, void>(this);
  private readonly synced = new PromiseDelegate<void>();
  private readonly refused = new PromiseDelegate<void>();
  private pathNow: string;
  private isSynced = false;
  private talk: ITalk | null;

  constructor(
    private readonly options: IDocumentsOptions,
    path: string,
  ) {
    this.pathNow = path;
    // Whoever waits for it hears of a failure; nobody may be waiting any more.
    this.synced.promise.catch(() => undefined);
    this.talk = this.dial();
  }

  get path(): string {
    return this.pathNow;
  }

  get mayWrite(): boolean {
    return this.options.mayWrite();
  }

  /** Resolves when all that the room had is here, rejects when it cannot be had. */
  get ready(): Promise<void> {
    return this.synced.promise;
  }

  /** Resolves when no connection came about at first; a browser is not told why. */
  get notConnected(): Promise<void> {
    return this.refused.promise;
  }

  /** What this user may do is another thing. */
  get roleChanged(): ISignal<this, void> {
    return this.roleSignal;
  }

  /** Tells the others, and the editors, who this is. */
  introduce(): void {
    this.roleSignal.emit();
    const { user, color } = this.options.user();
    // The words of jupyter-collaboration, whose extensions may look here.
    this.model.awareness.setLocalStateField("user", { name: user, display_name: user, color });
  }

  /** Resolves when the room has all that was typed here; rejects where there is no connection that could tell. */
  async settled(): Promise<void> {
    if (this.talk === null) {
      throw new ConnectionLostError(`“${this.pathNow}” is not shared any more.`);
    }
    try {
      await this.talk.connection.ping();
    } catch {
      throw new ConnectionLostError(
        `The room may not have all of “${this.pathNow}”: there is no connection now.`,
      );
    }
  }

  /** The file is renamed: it is let go of at its old path before that, and taken up at its new one after. */
  async moving(rename: () => Promise<string>): Promise<void> {
    this.hangUp();
    try {
      this.pathNow = await rename();
    } finally {
      this.talk = this.dial();
    }
  }

  dispose(): void {
    this.hangUp();
    Signal.clearData(this);
  }

  private dial(): ITalk {
    const { model } = this;
    const { settings, roomId, world, mayWrite } = this.options;
    const conversation = new DocumentConversation(
      { doc: model.ydoc, awareness: model.awareness, mayWrite },
      {
        opened: () => {
          connection.opened();
          this.isSynced = true;
          this.synced.resolve();
        },
        pong: (id) => {
          connection.pong(id);
        },
        said: () => {
          connection.flush();
        },
      },
    );
    const url = socketUrlOf(settings, "rooms", roomId, "documents", ...this.pathNow.split("/"));
    const connection = new Connection(dialling(world, url, FINAL_CODES), conversation, {
      connected: () => undefined,
      reconnecting: () => undefined,
      waiting: () => {
        this.refused.resolve();
      },
      closed: (error) => {
        if (this.talk?.connection === connection) {
          this.parted(error);
        }
      },
    });
    this.introduce();
    connection.open();
    return { conversation, connection };
  }

  private hangUp(): void {
    const { talk } = this;
    this.talk = null;
    talk?.conversation.leave();
    talk?.connection.close();
  }

  private parted(error: Error): void {
    this.talk = null;
    if (this.isSynced) {
      this.options.parted(this.pathNow, error.message);
    } else {
      this.synced.reject(error);
    }
  }
}

/** The open documents of a room, by their paths. */
export class SharedDocuments {
  private readonly open = new Set<SharedDocument>();

  constructor(private readonly options: IDocumentsOptions) {}

  /** Opens a file for a new editor, which has the model from now on. */
  create(path: string): SharedDocument {
    const document = new SharedDocument(this.options, path);
    this.open.add(document);
    DOCUMENTS.set(document.model, document);
    document.model.disposed.connect(() => {
      this.open.delete(document);
      document.dispose();
    });
    return document;
  }

  at(path: string): SharedDocument | undefined {
    return [...this.open].find((document) => document.path === path);
  }

  /** Those at a path, and below it. */
  below(path: string): readonly SharedDocument[] {
    return [...this.open].filter(
      (document) => document.path === path || document.path.startsWith(`${path}/`),
    );
  }

  /** The name, the colour or the role of this user is another one. */
  introduce(): void {
    for (const document of this.open) {
      document.introduce();
    }
  }

  dispose(): void {
    for (const document of this.open) {
      document.dispose();
    }
    this.open.clear();
  }
}

const DOCUMENTS = new WeakMap<object, SharedDocument>();

/** The shared document whose model an editor has; `undefined` for what is not of a room. */
export function documentOf(model: object): SharedDocument | undefined {
  return DOCUMENTS.get(model);
}
