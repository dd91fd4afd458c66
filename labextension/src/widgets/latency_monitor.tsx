/** The latency monitor: how each connection to the gateway does, now and lately. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { ReactWidget, UseSignal } from "@jupyterlab/ui-components";
import type { Message } from "@lumino/messaging";
import * as React from "react";

import { short } from "../format.js";
import type { IWatchedLink, LatencyModel } from "../latency_model.js";
import { useDomId } from "./dom_id.js";
import { PingGraph } from "./ping_graph.js";
import { linkText } from "./status.js";

export interface ILatencyMonitorOptions {
  readonly model: LatencyModel;
  readonly trans: TranslationBundle;
}

export class LatencyMonitor extends ReactWidget {
  private readonly timer: number;

  constructor(private readonly options: ILatencyMonitorOptions) {
    super();
    this.addClass("embedenv-LatencyMonitor");
    // Rates and countdowns go on while nothing comes.
    this.timer = window.setInterval(() => {
      if (this.isVisible) {
        this.update();
      }
    }, 1000);
  }

  override dispose(): void {
    window.clearInterval(this.timer);
    super.dispose();
  }

  protected override onBeforeAttach(message: Message): void {
    super.onBeforeAttach(message);
    // It scrolls, and must be reached by the keyboard; what is around it took that away.
    this.node.tabIndex = 0;
  }

  protected override render(): React.ReactElement {
    const { model, trans } = this.options;
    return (
      <UseSignal signal={model.changed}>
        {() => (
          <>
            <p className="embedenv-hint">
              {model.isPaused
                ? trans.__("Paused: what happens now is not counted.")
                : trans.__("The time of a ping to the gateway and back, on each open connection.")}
            </p>
            {model.links.map((watched) => (
              <LinkCard key={watched.id} {...watched} nowMs={model.nowMs} trans={trans} />
            ))}
          </>
        )}
      </UseSignal>
    );
  }
}

interface ILinkCardProps extends IWatchedLink {
  readonly nowMs: number;
  readonly trans: TranslationBundle;
}

function LinkCard(props: ILinkCardProps): React.ReactElement {
  const { history, link, nowMs, trans } = props;
  const id = useDomId();
  const { averageMs, lastMs, maxMs, minMs, recentMs } = history.latency;
  const ms = (value: number | null): string =>
    value === null ? "–" : trans.__("%1 ms", short(value));
  const figures: readonly (readonly [string, string])[] = [
    [trans.__("Now"), ms(lastMs)],
    [trans.__("Average"), ms(averageMs)],
    [trans.__("Least"), ms(minMs)],
    [trans.__("Most"), ms(maxMs)],
    [trans.__("Messages/s"), short(link.messages.perSecond(nowMs))],
    [trans.__("Events lost"), String(history.missed)],
    [trans.__("Reconnects"), String(history.cutTotal)],
  ];
  return (
    <section className="embedenv-LinkCard" aria-labelledby={id} data-link={props.id}>
      <header>
        <h2 id={id}>{nameOf(props)}</h2>
        <span className={`embedenv-LinkCard-state embedenv-mod-${link.state}`}>
          {link.state === "connected" ? trans.__("Connected") : linkText(link, nowMs, trans)}
        </span>
      </header>
      <dl>
        {figures.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <PingGraph pingsMs={recentMs} averageMs={averageMs} trans={trans} />
      {history.cuts.length > 0 && (
        <details>
          <summary>{trans.__("When it was cut, and why")}</summary>
          <ol>
            {[...history.cuts].reverse().map(({ atMs, reason }, index) => (
              <li key={history.cutTotal - index}>
                <time dateTime={new Date(atMs).toISOString()}>
                  {new Date(atMs).toLocaleTimeString()}
                </time>{" "}
                {reason}
              </li>
            ))}
          </ol>
        </details>
      )}
    </section>
  );
}

function nameOf({ kind, name, trans }: ILinkCardProps): string {
  switch (kind) {
    case "list":
      return trans.__("List of rooms");
    case "room":
      return trans.__("Room %1", name);
    case "engine":
      return trans.__("Engine");
    default:
      return kind satisfies never;
  }
}
