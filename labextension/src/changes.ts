/**
 * Which files changed while a run went on.
 *
 * The room's log has files and runs in one order, but a change does not say which run made it: with two runs
 * at a time, or a member who saves meanwhile, a change belongs to all that went on.
 */

import type { IEvent } from "./protocols/room_events.js";

export interface IRunChanges {
  readonly run: string;
  readonly command: string;
  readonly user: string;
  /** UTC seconds. */
  readonly startedAt: number;
  readonly hasEnded: boolean;
  /** In the order in which they changed last. */
  readonly paths: readonly string[];
}

export interface IFoundFile {
  readonly path: string;
  /** UTC seconds. */
  readonly modifiedAt: number;
}

/** A file system's clock is coarser than that of events. */
const EARLY_S = 0.02;
/** Changes are told in batches, so the last of them may come after the end of the run that made them. */
const LATE_S = 1;
const MAX_PATHS = 1000;
/** Runs of other members may go on for long; older ones are forgotten. */
const MAX_RUNS = 50;

interface ITrack {
  readonly run: string;
  readonly command: string;
  readonly user: string;
  readonly startedAt: number;
  endedAt: number | null;
  readonly paths: Set<string>;
}

/** The runs of one room, as its events tell them. */
export class Changes {
  private tracks: ITrack[] = [];

  /** Takes in an event; true where it is about something that this tells. */
  receive({ at, what }: IEvent): boolean {
    if (what.event === "run-started") {
      const { run, command, user } = what;
      const track = { run, command, user, startedAt: at, endedAt: null, paths: new Set<string>() };
      this.tracks = [...this.tracks, track].slice(-MAX_RUNS);
      return true;
    }
    if (what.event === "run-ended") {
      for (const track of this.tracks.filter(({ run }) => run === what.run)) {
        track.endedAt = at;
      }
      return true;
    }
    // Of what programs change, the event has only the folder, and nobody's name: see `found`.
    if (what.event === "files" && what.user !== "") {
      this.add(what.paths, at);
      return true;
    }
    return false;
  }

  /** Takes in when files were changed, as a listing of their folder has it. */
  found(files: readonly IFoundFile[]): void {
    for (const { path, modifiedAt } of files) {
      this.add([path], modifiedAt);
    }
  }

  private add(paths: readonly string[], at: number): void {
    for (const track of this.tracks) {
      const isAfterStart = at >= track.startedAt - EARLY_S;
      if (isAfterStart && (track.endedAt === null || at <= track.endedAt + LATE_S)) {
        add(track.paths, paths);
      }
    }
  }

  /** Of the run that began last; `null` before there was one. */
  get last(): IRunChanges | null {
    const track = this.tracks.at(-1);
    if (track === undefined) {
      return null;
    }
    const { run, command, user, startedAt, endedAt, paths } = track;
    return { run, command, user, startedAt, hasEnded: endedAt !== null, paths: [...paths] };
  }
}

function add(paths: Set<string>, more: readonly string[]): void {
  for (const path of more) {
    paths.delete(path);
    if (paths.size < MAX_PATHS) {
      paths.add(path);
    }
  }
}
