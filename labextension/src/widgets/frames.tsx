/** The frames of a connection, one below the other; each opens to its whole text. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Button } from "@jupyterlab/ui-components";
import * as React from "react";

import { bytes, oneLine } from "../format.js";
import type { IFrame } from "../inspector/frame_log.js";
import { pretty } from "../inspector/frame_log.js";
import type { Vault } from "../inspector/vault.js";
import { useDomId } from "./dom_id.js";
import { duration } from "./timeline.js";

export interface IFramesProps {
  readonly frames: readonly IFrame[];
  readonly dropped: number;
  readonly vault: Vault;
  readonly trans: TranslationBundle;
  /** Takes a frame as what is sent next. */
  readonly edit: (frame: IFrame) => void;
}

/** So many are shown until somebody asks for those before. */
const SHOWN = 100;
const SUMMARY_CHARS = 160;

export function Frames(props: IFramesProps): React.ReactElement {
  const { dropped, frames, trans } = props;
  const [showsAll, setShowsAll] = React.useState(false);
  const [open, setOpen] = React.useState<ReadonlySet<number>>(new Set());
  const list = React.useRef<HTMLOListElement>(null);
  const last = frames.at(-1)?.number ?? 0;
  // What comes is in sight for who has not scrolled up to read something else.
  const isAtEnd = React.useRef(true);
  React.useLayoutEffect(() => {
    if (isAtEnd.current && list.current !== null) {
      list.current.scrollTop = list.current.scrollHeight;
    }
  }, [last]);
  const hidden = showsAll ? 0 : Math.max(0, frames.length - SHOWN);
  return (
    <ol
      ref={list}
      className="embedenv-Frames"
      aria-label={trans.__("Frames")}
      tabIndex={0}
      onScroll={({ currentTarget: { clientHeight, scrollHeight, scrollTop } }) => {
        isAtEnd.current = scrollHeight - scrollTop - clientHeight < 24;
      }}
    >
      {dropped > 0 && (
        <li className="embedenv-hint">
          {trans._n(
            "%1 frame before these is not kept any more.",
            "%1 frames before these are not kept any more.",
            dropped,
          )}
        </li>
      )}
      {hidden > 0 && (
        <li>
          <button
            type="button"
            className="embedenv-link"
            onClick={() => {
              setShowsAll(true);
            }}
          >
            {trans._n("Show %1 frame before these", "Show %1 frames before these", hidden)}
          </button>
        </li>
      )}
      {frames.slice(hidden).map((frame) => (
        <Frame
          {...props}
          key={frame.number}
          frame={frame}
          isOpen={open.has(frame.number)}
          toggle={() => {
            const next = new Set(open);
            if (!next.delete(frame.number)) {
              next.add(frame.number);
            }
            setOpen(next);
          }}
        />
      ))}
    </ol>
  );
}

interface IFrameProps extends IFramesProps {
  readonly frame: IFrame;
  readonly isOpen: boolean;
  readonly toggle: () => void;
}

function Frame(props: IFrameProps): React.ReactElement {
  const { edit, frame, isOpen, toggle, trans, vault } = props;
  const id = useDomId();
  const directions = { out: trans.__("Sent"), in: trans.__("Received"), note: trans.__("Note") };
  const arrows = { out: "↑", in: "↓", note: "·" };
  const shown = frame.text === "" ? frame.head : frame.text;
  return (
    <li className={`embedenv-Frame embedenv-mod-${frame.direction}`}>
      <button type="button" aria-expanded={isOpen} aria-controls={id} onClick={toggle}>
        <span className="embedenv-Frame-arrow" title={directions[frame.direction]}>
          <span aria-hidden="true">{arrows[frame.direction]}</span>
          <span className="embedenv-visually-hidden">{directions[frame.direction]}</span>
        </span>
        <span className="embedenv-Frame-time">{duration(frame.atMs, trans)}</span>
        <span className="embedenv-Frame-size">
          {frame.direction === "note" ? "" : bytes(frame.bytes)}
        </span>
        <code className="embedenv-Frame-summary">
          {oneLine(vault.hide(shown.slice(0, 4 * SUMMARY_CHARS)), SUMMARY_CHARS)}
        </code>
      </button>
      {isOpen && (
        <div id={id} className="embedenv-Frame-body">
          {frame.head !== "" && <SecretText text={frame.head} vault={vault} trans={trans} />}
          {frame.text !== "" && (
            <SecretText text={pretty(frame.text)} vault={vault} trans={trans} />
          )}
          {frame.cutChars > 0 && (
            <p className="embedenv-hint">
              {trans.__("%1 more characters of it are not kept.", frame.cutChars)}
            </p>
          )}
          {frame.direction === "out" && (
            <Button
              className="jp-mod-styled jp-mod-minimal"
              onClick={() => {
                edit(frame);
              }}
            >
              {trans.__("Edit and send again")}
            </Button>
          )}
        </div>
      )}
    </li>
  );
}

interface ISecretTextProps {
  readonly text: string;
  readonly vault: Vault;
  readonly trans: TranslationBundle;
}

/** A text whose secrets show when they are asked to, one by one. */
function SecretText({ text, trans, vault }: ISecretTextProps): React.ReactElement {
  const [shown, setShown] = React.useState<ReadonlySet<number>>(new Set());
  return (
    <pre>
      {vault.segments(text).map((segment, index) => {
        if (segment.placeholder === null) {
          return <React.Fragment key={index}>{segment.text}</React.Fragment>;
        }
        const isShown = shown.has(index);
        const name = segment.placeholder.replace(/[{}]/g, "");
        return (
          <button
            key={index}
            type="button"
            className="embedenv-Secret"
            aria-pressed={isShown}
            title={isShown ? trans.__("Hide %1", name) : trans.__("Show %1", name)}
            onClick={() => {
              const next = new Set(shown);
              if (!next.delete(index)) {
                next.add(index);
              }
              setShown(next);
            }}
          >
            {isShown ? segment.text : segment.placeholder}
          </button>
        );
      })}
    </pre>
  );
}
