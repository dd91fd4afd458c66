/** The last pings as a line, with the same in words for those who do not see it. */

import type { TranslationBundle } from "@jupyterlab/translation";
import * as React from "react";

import { short } from "../format.js";
import { useDomId } from "./dom_id.js";

export interface IPingGraphProps {
  /** Milliseconds, oldest first. */
  readonly pingsMs: readonly number[];
  readonly averageMs: number | null;
  readonly trans: TranslationBundle;
}

const WIDTH = 480;
const HEIGHT = 120;
const LEFT = 44;
const TOP = 8;
const BOTTOM = 8;
/** As many pings as are kept. */
const PLACES = 60;

export function PingGraph({ averageMs, pingsMs, trans }: IPingGraphProps): React.ReactElement {
  const id = useDomId();
  const top = ceiling(Math.max(...pingsMs, averageMs ?? 0));
  const x = (place: number): number => LEFT + (place * (WIDTH - LEFT - 4)) / (PLACES - 1);
  const y = (ms: number): number => HEIGHT - BOTTOM - (ms / top) * (HEIGHT - TOP - BOTTOM);
  const first = PLACES - pingsMs.length;
  const points = pingsMs.map((ms, index) => [x(first + index), y(ms)] as const);
  const line = points.map(([left, high]) => `${left.toFixed(1)},${high.toFixed(1)}`).join(" ");
  const last = points.at(-1);
  return (
    <svg
      className="embedenv-PingGraph"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-text`}
    >
      <title id={`${id}-title`}>{trans.__("The last pings")}</title>
      <desc id={`${id}-text`}>{described(pingsMs, trans)}</desc>
      {[0, top / 2, top].map((ms) => (
        <g key={ms} className="embedenv-PingGraph-grid">
          <line x1={LEFT} x2={WIDTH - 4} y1={y(ms)} y2={y(ms)} />
          <text x={LEFT - 6} y={y(ms)} dy="0.35em" textAnchor="end">
            {trans.__("%1 ms", short(ms))}
          </text>
        </g>
      ))}
      {averageMs !== null && (
        <line
          className="embedenv-PingGraph-average"
          x1={LEFT}
          x2={WIDTH - 4}
          y1={y(averageMs)}
          y2={y(averageMs)}
        />
      )}
      {points.length > 1 && <polyline points={line} />}
      {last !== undefined && <circle cx={last[0]} cy={last[1]} r={3.5} />}
    </svg>
  );
}

/** The next round number, so that the line does not jump with every ping. */
export function ceiling(ms: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(ms, 1)));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= ms) ?? 10;
  return step * power;
}

function described(pingsMs: readonly number[], trans: TranslationBundle): string {
  if (pingsMs.length === 0) {
    return trans.__("None yet.");
  }
  const list = pingsMs.slice(-10).map(short).join(", ");
  return trans.__(
    "%1 pings between %2 and %3 ms; the last ones took %4 ms.",
    pingsMs.length,
    short(Math.min(...pingsMs)),
    short(Math.max(...pingsMs)),
    list,
  );
}
