/**
 * The client's side of a document that several edit together, over any number of connections, without I/O.
 *
 * Binary messages, as y-websocket has them (docs/protocols/documents.md): `0` and a message of y-protocols'
 * sync, or `1` and states of its awareness.
 *
 * Theory of operation.
 *
 *     OFFLINE ──connected──► GREETING ──their first sync step 2──► OPEN
 *        ▲──────────────────────────lost──────────────────────────────┘
 *
 * Each side says with step 1 what it has, and gets with step 2 what it lacks; so what was typed while there
 * was no connection needs no queue. A ping is another step 1: it is always answered, and repairs what may be
 * missing. Who may not write only asks.
 */

import { createDecoder, readVarUint, readVarUint8Array } from "lib0/decoding";
import type { Encoder } from "lib0/encoding";
import { createEncoder, toUint8Array, writeVarUint, writeVarUint8Array } from "lib0/encoding";
import type { Awareness } from "y-protocols/awareness";
import {
  applyAwarenessUpdate,
  encodeAwarenessUpdate,
  removeAwarenessStates,
} from "y-protocols/awareness";
import {
  messageYjsSyncStep1,
  messageYjsSyncStep2,
  messageYjsUpdate,
  writeSyncStep1,
  writeSyncStep2,
  writeUpdate,
} from "y-protocols/sync";
import type { Doc } from "yjs";
import { applyUpdate } from "yjs";

import type { IConversation, Message } from "../connection.js";
import { FrameError, messageOf } from "../errors.js";

const SYNC = 0;
const AWARENESS = 1;

export interface IDocumentOptions {
  readonly doc: Doc;
  readonly awareness: Awareness;
  /** Asked each time: a role may change. */
  readonly mayWrite: () => boolean;
}

/** Whom a conversation reports to. */
export interface IDocumentHearing {
  /** All that the other side had is here. */
  opened(): void;
  pong(id: string): void;
  /** There is something to write. */
  said(): void;
}

type Phase = "offline" | "greeting" | "open" | "closed";

interface IAwarenessChange {
  readonly added: readonly number[];
  readonly updated: readonly number[];
  readonly removed: readonly number[];
}

export class DocumentConversation implements IConversation {
  readonly greetingError = null;
  private phaseNow: Phase = "offline";
  private outgoing: Message[] = [];
  private pings: string[] = [];
  private received = 0;

  constructor(
    private readonly options: IDocumentOptions,
    private readonly hearing: IDocumentHearing,
  ) {
    options.doc.on("update", this.edited);
    options.awareness.on("update", this.looked);
  }

  get phase(): Phase {
    return this.phaseNow;
  }

  get progress(): number {
    return this.received;
  }

  connected(): void {
    if (this.phaseNow === "offline") {
      this.phaseNow = "greeting";
      this.outgoing = [];
      this.ask();
      this.show([this.options.doc.clientID]);
    }
  }

  receive(text: string): void {
    throw new FrameError(`text, where documents are binary: ${text.slice(0, 40)}`);
  }

  receiveBytes(bytes: Uint8Array): void {
    try {
      const decoder = createDecoder(bytes);
      const kind = readVarUint(decoder);
      if (kind === SYNC) {
        this.sync(readVarUint(decoder), readVarUint8Array(decoder));
      } else if (kind === AWARENESS) {
        applyAwarenessUpdate(this.options.awareness, readVarUint8Array(decoder), this);
      }
      // Other kinds are of a later version.
    } catch (error) {
      throw new FrameError(messageOf(error));
    }
    this.received += 1;
  }

  lost(): void {
    if (this.phaseNow !== "closed") {
      this.phaseNow = "offline";
      this.outgoing = [];
      this.pings = [];
      this.forgetOthers();
    }
  }

  framesToSend(): readonly Message[] {
    const frames = this.outgoing;
    this.outgoing = [];
    return frames;
  }

  ping(id: string): void {
    this.pings.push(id);
    this.ask();
  }

  /** Says that this client is gone; the shared document stays as it is. */
  leave(): void {
    removeAwarenessStates(this.options.awareness, [this.options.doc.clientID], "left");
  }

  close(): void {
    if (this.phaseNow !== "closed") {
      this.phaseNow = "closed";
      this.options.doc.off("update", this.edited);
      this.options.awareness.off("update", this.looked);
      this.forgetOthers();
    }
  }

  private sync(step: number, content: Uint8Array): void {
    switch (step) {
      case messageYjsSyncStep1:
        if (this.options.mayWrite()) {
          this.say((encoder) => writeSyncStep2(encoder, this.options.doc, content));
        }
        break;
      case messageYjsSyncStep2:
        applyUpdate(this.options.doc, content, this);
        this.synced();
        break;
      case messageYjsUpdate:
        applyUpdate(this.options.doc, content, this);
        break;
      default:
        throw new FrameError(`a sync message of the unknown kind ${step}`);
    }
  }

  private synced(): void {
    if (this.phaseNow === "greeting") {
      this.phaseNow = "open";
      this.hearing.opened();
    }
    const ping = this.pings.shift();
    if (ping !== undefined) {
      this.hearing.pong(ping);
    }
  }

  private readonly edited = (update: Uint8Array, origin: unknown): void => {
    if (origin !== this && this.isThere() && this.options.mayWrite()) {
      this.say((encoder) => writeUpdate(encoder, update));
      this.hearing.said();
    }
  };

  private readonly looked = (change: IAwarenessChange, origin: unknown): void => {
    if (origin !== this && this.isThere()) {
      this.show([...change.added, ...change.updated, ...change.removed]);
      this.hearing.said();
    }
  };

  private isThere(): boolean {
    return this.phaseNow === "greeting" || this.phaseNow === "open";
  }

  private ask(): void {
    this.say((encoder) => writeSyncStep1(encoder, this.options.doc));
  }

  private show(clients: number[]): void {
    if (this.options.mayWrite()) {
      const encoder = createEncoder();
      writeVarUint(encoder, AWARENESS);
      writeVarUint8Array(encoder, encodeAwarenessUpdate(this.options.awareness, clients));
      this.outgoing.push(bytesOf(encoder));
    }
  }

  private say(write: (encoder: Encoder) => void): void {
    const encoder = createEncoder();
    writeVarUint(encoder, SYNC);
    write(encoder);
    this.outgoing.push(bytesOf(encoder));
  }

  private forgetOthers(): void {
    const { awareness, doc } = this.options;
    const others = [...awareness.getStates().keys()].filter((client) => client !== doc.clientID);
    removeAwarenessStates(awareness, others, this);
  }
}

function bytesOf(encoder: Encoder): Uint8Array<ArrayBuffer> {
  return new Uint8Array(toUint8Array(encoder));
}
