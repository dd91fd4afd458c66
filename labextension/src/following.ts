/** One member whom this browser follows: it has in front what they have, until somebody ends that. */

import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import type { IMember, IWhere } from "./protocols/rooms.js";
import type { IRoom, IRooms } from "./tokens.js";

/** Whom this browser follows, and where. */
export interface IFollowed {
  readonly room: IRoom;
  readonly member: IMember;
}

/** Why it is over: the user wants that, or the member or the room is gone. */
export type FollowingEnd = "stopped" | "left";

export class Following {
  private followed: IFollowed | null = null;
  private shown: IWhere | null = null;
  private isGoing = false;
  private readonly changedSignal = new Signal<this, void>(this);
  private readonly endedSignal = new Signal<this, readonly [IFollowed, FollowingEnd]>(this);

  /** `go` has in front what somebody looks at; where that fails, `failed` hears why. */
  constructor(
    private readonly rooms: IRooms,
    private readonly go: (room: IRoom, where: IWhere) => Promise<void>,
    private readonly failed: (error: unknown) => void,
  ) {
    rooms.changed.connect(this.compare, this);
  }

  get now(): IFollowed | null {
    return this.followed;
  }

  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  get ended(): ISignal<this, readonly [IFollowed, FollowingEnd]> {
    return this.endedSignal;
  }

  isFollowing(roomId: string, memberId: string): boolean {
    return this.followed?.room.id === roomId && this.followed.member.id === memberId;
  }

  /** Follows a member from now on, and nobody else. */
  start(room: IRoom, member: IMember): void {
    this.stop();
    this.followed = { room, member };
    this.changedSignal.emit();
    this.compare();
  }

  /** Idempotent. */
  stop(): void {
    this.end("stopped");
  }

  private end(why: FollowingEnd): void {
    const { followed } = this;
    if (followed !== null) {
      this.followed = null;
      this.shown = null;
      this.changedSignal.emit();
      this.endedSignal.emit([followed, why]);
    }
  }

  private compare(): void {
    const { followed } = this;
    if (followed === null) {
      return;
    }
    const room = this.rooms.get(followed.room.id);
    const members = room?.self ? room.model.members : [];
    const member = members.find(({ id }) => id === followed.member.id);
    if (room === undefined || member === undefined) {
      this.end("left");
      return;
    }
    if (member.user !== followed.member.user || member.color !== followed.member.color) {
      this.followed = { room, member };
      this.changedSignal.emit();
    } else {
      this.followed = { room, member };
    }
    void this.walk();
  }

  /** Goes where they are; one step after another, and only to the newest place. */
  private async walk(): Promise<void> {
    if (this.isGoing) {
      return;
    }
    this.isGoing = true;
    for (let step = this.next(); step !== null; step = this.next()) {
      const { room, where } = step;
      this.shown = where;
      try {
        await this.go(room, where);
      } catch (error) {
        this.failed(error);
      }
    }
    this.isGoing = false;
  }

  /** Where there is to go, if it is elsewhere. */
  private next(): { readonly room: IRoom; readonly where: IWhere } | null {
    const { followed, shown } = this;
    const where = followed?.member.where ?? null;
    const isElsewhere = followed !== null && where !== null && !isSame(where, shown);
    return isElsewhere ? { room: followed.room, where } : null;
  }
}

export function isSame(one: IWhere | null, other: IWhere | null): boolean {
  return one?.kind === other?.kind && one?.path === other?.path;
}
