/** How much of a limit is used, now and lately. */

import * as React from "react";

export interface IMeterProps {
  readonly label: string;
  /** What is shown, and read aloud: "312 MiB of 2.0 GiB". */
  readonly text: string;
  /** Oldest first; what could not be told is left out of the line. */
  readonly values: readonly (number | null)[];
  /** `null`: there is no limit, and the line is as high as its largest value. */
  readonly limit: number | null;
}

export function Meter({ label, limit, text, values }: IMeterProps): React.ReactElement {
  const now = values.at(-1) ?? null;
  const share = limit === null || now === null ? null : Math.min(1, now / limit);
  const state = share !== null && share > 0.9 ? " embedenv-mod-high" : "";
  return (
    <div
      className={`embedenv-Meter${state}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round((share ?? 0) * 100)}
      aria-valuetext={text}
    >
      <span className="embedenv-Meter-label">{label}</span>
      <Sparkline values={values} most={limit} />
      <span className="embedenv-Meter-text">{text}</span>
    </div>
  );
}

export interface ISparklineProps {
  readonly values: readonly (number | null)[];
  /** The value at the top; `null`: the largest one. */
  readonly most: number | null;
  readonly width?: number;
  readonly height?: number;
}

/** A small line of values, for the eye only: whoever shows it says the same in text. */
export function Sparkline(props: ISparklineProps): React.ReactElement {
  const { height = 16, most, values, width = 60 } = props;
  const known = values.filter((value): value is number => value !== null);
  const top = Math.max(most ?? 0, ...known) || 1;
  const step = width / Math.max(1, values.length - 1);
  const points = values.flatMap((value, index) => {
    const y = height - 1 - ((value ?? 0) / top) * (height - 2);
    return value === null ? [] : [`${(index * step).toFixed(1)},${y.toFixed(1)}`];
  });
  return (
    <svg
      className="embedenv-Sparkline"
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      aria-hidden="true"
    >
      {points.length > 1 && <polyline points={points.join(" ")} fill="none" />}
    </svg>
  );
}
