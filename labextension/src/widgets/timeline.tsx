/** What a connection spent its time on, as bars on one scale; each says its time in words, too. */

import type { TranslationBundle } from "@jupyterlab/translation";
import * as React from "react";

import { short } from "../format.js";
import type { ISpan, SpanName } from "../inspector/timeline.js";

export interface ITimelineProps {
  readonly spans: readonly ISpan[];
  /** Where spans end that still last; milliseconds since the connection was begun. */
  readonly nowMs: number;
  readonly trans: TranslationBundle;
}

export function TimelineBars({ nowMs, spans, trans }: ITimelineProps): React.ReactElement {
  // A pause between the connection and a run is not interesting: bars are laid end to end.
  const lengths = spans.map(({ fromMs, toMs }) => Math.max(0, (toMs ?? nowMs) - fromMs));
  const total = lengths.reduce((sum, length) => sum + length, 0) || 1;
  let before = 0;
  return (
    <table className="embedenv-Timeline">
      <caption className="embedenv-visually-hidden">{trans.__("Where the time went")}</caption>
      <tbody>
        {spans.map(({ name, toMs }, index) => {
          const length = lengths[index] ?? 0;
          const left = (before / total) * 100;
          before += length;
          return (
            <tr key={name} className={`embedenv-mod-${name}`} data-span={name}>
              <th scope="row">{textOf(name, trans)}</th>
              <td className="embedenv-Timeline-time">
                {toMs === null ? trans.__("%1…", duration(length, trans)) : duration(length, trans)}
              </td>
              <td className="embedenv-Timeline-track" aria-hidden="true">
                <span style={{ marginLeft: `${left}%`, width: `${(length / total) * 100}%` }} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function textOf(name: SpanName, trans: TranslationBundle): string {
  switch (name) {
    case "handshake":
      return trans.__("Handshake");
    case "greeting":
      return trans.__("Greeting");
    case "submission":
      return trans.__("Submission, until it is taken");
    case "silence":
      return trans.__("Execution, until the first output");
    case "output":
      return trans.__("Execution, from then to the end");
    default:
      return name satisfies never;
  }
}

/** A time in its fitting unit: "0.4 ms", "87 ms", "12.3 s". */
export function duration(ms: number, trans: TranslationBundle): string {
  return ms < 10_000 ? trans.__("%1 ms", short(ms)) : trans.__("%1 s", (ms / 1000).toFixed(1));
}
