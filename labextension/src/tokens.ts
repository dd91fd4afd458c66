/** What our plugins, and those of others, share: the rooms of this browser. */

import type { ServerConnection } from "@jupyterlab/services";
import { Token } from "@lumino/coreutils";
import type { IObservableDisposable } from "@lumino/disposable";
import type { ISignal } from "@lumino/signaling";

import type { RoomsApi } from "./api.js";
import type { ILink } from "./link.js";
import type { IEvent } from "./protocols/room_events.js";
import type { IAccount, IEndedRoom, IMember, IRoomModel, IWhere, Role } from "./protocols/rooms.js";
import type { IPreferences } from "./settings.js";
import type { IUsageHistory } from "./usage.js";

/** One open room, as this browser has it. It is disposed when the room ends or is not to be seen any more. */
export interface IRoom extends IObservableDisposable {
  readonly id: string;
  readonly name: string;
  /** As the gateway described it last. */
  readonly model: IRoomModel;
  /** With these, JupyterLab's own clients (`Drive`, `TerminalManager`, …) find the room to be a Jupyter server. */
  readonly serverSettings: ServerConnection.ISettings;
  /** Who this browser is in the room; `null` where it has not entered. */
  readonly self: IMember | null;
  /** The connection of this browser, as a member; "closed" where it has not entered. */
  readonly link: ILink;
  /** What the room used lately, while this browser is in it. */
  readonly usage: IUsageHistory;
  /** The model, the link or the usage is another one. */
  readonly changed: ISignal<IRoom, void>;
  /** An event of the room's log, while this browser is in it; each comes once and in order. */
  readonly happened: ISignal<IRoom, IEvent>;
  /** What this browser may do. */
  readonly role: Role;
  /** Whether this browser's role allows what `role` allows. */
  may(role: Role): boolean;
  /** Becomes a member, whom others see; idempotent. A room with members is not idle. */
  enter(): void;
  /** Is no member any more; the room goes on. Idempotent. */
  exit(): void;
  /** Whether its end was told here: the list of rooms tells how, in a moment. */
  readonly hasEnded: boolean;
  /** Tells the other members what this one looks at. */
  look(where: IWhere | null): void;
}

export interface IRoomEvent {
  readonly room: IRoom;
  readonly event: IEvent;
}

/** The rooms that this browser may see, newest last. */
export interface IRooms {
  readonly all: readonly IRoom[];
  get(id: string): IRoom | undefined;
  /** Resolves when the gateway has told its rooms for the first time. */
  readonly ready: Promise<void>;
  /** The socket on which the gateway tells its rooms. */
  readonly link: ILink;
  readonly api: RoomsApi;
  /** Who pays here; `null` for guests, and before it is known. */
  readonly account: IAccount | null;
  /** How rooms ended, newest first. */
  readonly ended: readonly IEndedRoom[];
  /** A room came, went or changed; the link or the account changed. */
  readonly changed: ISignal<IRooms, void>;
  /** Something happened in a room that this browser has entered. */
  readonly happened: ISignal<IRooms, IRoomEvent>;
  /** A room has ended. */
  readonly roomEnded: ISignal<IRooms, IEndedRoom>;
  /** Takes in a room that the gateway has just answered with, and enters it. */
  add(model: IRoomModel): IRoom;
  /** Comes into a room by a join key; rejects with a `RequestError`. */
  join(key: string): Promise<IRoom>;
  /** Goes out of a room, and gives back what let this browser in. */
  leave(room: IRoom): Promise<void>;
  /** Does what ends a room, out of it: who does that need not be told. Where it fails, a member is one again. */
  end<T>(room: IRoom, ending: () => Promise<T>): Promise<T>;
  /** Asks anew what is left to pay with, and how rooms ended. */
  refresh(): Promise<void>;
}

export const IRooms = new Token<IRooms>(
  "embedenv-jupyter:IRooms",
  "The rooms of the gateway: their state, their events, and what can be done with them.",
);

/** What the user has set. */
export interface ISettings {
  readonly now: IPreferences;
  readonly changed: ISignal<ISettings, void>;
}

export const ISettings = new Token<ISettings>(
  "embedenv-jupyter:ISettings",
  "The user's settings of the Embedenv extension, complete and typed.",
);
