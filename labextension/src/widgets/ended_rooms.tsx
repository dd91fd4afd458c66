/** How the last rooms ended. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { ReactWidget, UseSignal } from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";
import * as React from "react";

import { CommandIDs } from "../commands.js";
import { bytes, clock, short } from "../format.js";
import type { IEndedRoom } from "../protocols/rooms.js";
import type { IRooms } from "../tokens.js";

export interface IEndedRoomsOptions {
  readonly rooms: IRooms;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
}

export class EndedRooms extends ReactWidget {
  constructor(private readonly options: IEndedRoomsOptions) {
    super();
  }

  protected override render(): React.ReactElement {
    const { commands, rooms, trans } = this.options;
    return (
      <UseSignal signal={rooms.changed}>
        {() => (
          <ul className="embedenv-Ended">
            {rooms.ended.map((ended) => (
              <li key={`${ended.id} ${ended.ended_at}`}>
                <button
                  type="button"
                  className="embedenv-link"
                  onClick={() => void commands.execute(CommandIDs.postMortem, { room: ended.id })}
                >
                  {ended.name}
                </button>
                <span className="embedenv-hint">{whyEnded(ended, trans)}</span>
              </li>
            ))}
            {rooms.ended.length === 0 && <li className="embedenv-hint">{trans.__("None yet.")}</li>}
          </ul>
        )}
      </UseSignal>
    );
  }
}

/** In a few words why a room ended. */
export function whyEnded(ended: IEndedRoom, trans: TranslationBundle): string {
  if (ended.breaches.includes("oom")) {
    return trans.__("ran out of memory");
  }
  return ended.cause ?? ended.reason;
}

export class PostMortemBody extends ReactWidget {
  constructor(
    private readonly ended: IEndedRoom,
    private readonly trans: TranslationBundle,
  ) {
    super();
    this.addClass("embedenv-PostMortem");
  }

  protected override render(): React.ReactElement {
    return (
      <table>
        <tbody>
          {facts(this.ended, this.trans).map(([label, text]) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              <td>{text}</td>
            </tr>
          ))}
        </tbody>
      </table>
    );
  }
}

function facts(ended: IEndedRoom, trans: TranslationBundle): [string, string][] {
  const { limits } = ended;
  const of = (text: string, limit: string | null): string =>
    limit === null ? text : trans.__("%1 of %2", text, limit);
  const found: [string, string | null][] = [
    [trans.__("Ended"), new Date(ended.ended_at * 1000).toLocaleString()],
    [trans.__("Reason"), ended.reason],
    [trans.__("Cause"), ended.cause],
    [trans.__("Limits met"), ended.breaches.length === 0 ? null : ended.breaches.join(", ")],
    [trans.__("Exit code"), ended.code === null ? null : String(ended.code)],
    [trans.__("Signal"), ended.signal],
    [
      trans.__("Most memory"),
      ended.peak_memory_bytes === null
        ? null
        : of(
            bytes(ended.peak_memory_bytes),
            limits.memory_bytes === null ? null : bytes(limits.memory_bytes),
          ),
    ],
    [trans.__("CPU time"), ended.cpu_s === null ? null : trans.__("%1 s", short(ended.cpu_s))],
    [trans.__("Lived"), ended.duration_s === null ? null : clock(ended.duration_s)],
  ];
  return found.flatMap(([label, text]) => (text === null || text === "" ? [] : [[label, text]]));
}
