/** The connection to the gateway in the status bar. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { ReactWidget, UseSignal } from "@jupyterlab/ui-components";
import * as React from "react";

import { short } from "../format.js";
import { roomIcon } from "../icons.js";
import type { ILink } from "../link.js";
import type { IRooms } from "../tokens.js";
import { Sparkline } from "./meter.js";

export interface IStatusOptions {
  readonly rooms: IRooms;
  readonly trans: TranslationBundle;
  readonly open: () => void;
}

export class Status extends ReactWidget {
  private readonly timer: number;

  constructor(private readonly options: IStatusOptions) {
    super();
    this.addClass("embedenv-Status");
    this.addClass("jp-mod-highlighted");
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

  protected override render(): React.ReactElement {
    return (
      <UseSignal signal={this.options.rooms.changed}>
        {() => <StatusItem {...this.options} nowMs={performance.now()} />}
      </UseSignal>
    );
  }
}

function StatusItem(props: IStatusOptions & { readonly nowMs: number }): React.ReactElement {
  const { nowMs, open, rooms, trans } = props;
  const links = [
    rooms.link,
    ...rooms.all.filter((room) => room.self !== null).map((one) => one.link),
  ];
  const worst = links.find((link) => link.state !== "connected") ?? rooms.link;
  const { lastMs, recentMs } = rooms.link.latency;
  const rate = links.reduce((sum, link) => sum + link.messages.perSecond(nowMs), 0);
  const credits = rooms.account?.credits ?? null;
  const title = described(props, worst, rate, credits);
  return (
    <button type="button" title={title} aria-label={title} onClick={open}>
      <roomIcon.react tag="span" stylesheet="statusBar" />
      <span className={`embedenv-Status-state embedenv-mod-${worst.state}`}>
        {linkText(worst, nowMs, trans)}
      </span>
      {worst.state === "connected" && lastMs !== null && (
        <>
          <Sparkline values={recentMs.slice(-20)} most={null} width={40} height={12} />
          <span>{trans.__("%1 ms", short(lastMs))}</span>
          <span>{trans.__("%1 msg/s", short(rate))}</span>
        </>
      )}
      {credits !== null && <span>{trans._n("%1 credit", "%1 credits", credits)}</span>}
    </button>
  );
}

/** How a link stands, in a few words. */
export function linkText(link: ILink, nowMs: number, trans: TranslationBundle): string {
  switch (link.state) {
    case "connected":
      return link.missed > 0 ? trans.__("Connected, %1 events missed", link.missed) : "";
    case "connecting":
      return trans.__("Connecting…");
    case "waiting": {
      const inS = Math.max(0, Math.ceil(((link.retryAtMs ?? nowMs) - nowMs) / 1000));
      return trans.__("Lost, again in %1 s", inS);
    }
    case "closed":
      // Before it was opened there is nothing to say.
      return link.reason === "" ? "" : trans.__("Not connected");
    default:
      return link.state satisfies never;
  }
}

function described(
  { nowMs, rooms, trans }: IStatusOptions & { readonly nowMs: number },
  worst: ILink,
  rate: number,
  credits: number | null,
): string {
  const { averageMs, lastMs, maxMs, minMs } = rooms.link.latency;
  const lines = [
    worst.state === "connected"
      ? trans.__("Embedenv: connected")
      : trans.__("Embedenv: %1", linkText(worst, nowMs, trans)),
    worst.reason,
  ];
  if (lastMs !== null && averageMs !== null && minMs !== null && maxMs !== null) {
    lines.push(
      trans.__(
        "Latency %1 ms, average %2, least %3, most %4",
        short(lastMs),
        short(averageMs),
        short(minMs),
        short(maxMs),
      ),
      trans.__("%1 messages each second", short(rate)),
    );
  }
  if (credits !== null) {
    lines.push(trans._n("%1 credit left", "%1 credits left", credits));
  }
  return lines.filter((line) => line !== "").join("\n");
}
