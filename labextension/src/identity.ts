/** Who the user of this browser is in rooms: the name and the colour that Jupyter gave. */

import type { User } from "@jupyterlab/services";

const GREY = "#808080";

/** The name under which others see this user, in the length that the gateway takes. */
export function nameOf(identity: User.IIdentity | null): string {
  const name = identity?.display_name ?? identity?.name ?? identity?.username ?? "";
  return Array.from(name.trim() === "" ? "somebody" : name.trim())
    .slice(0, 64)
    .join("");
}

/** Jupyter names a colour by a variable of the theme, the gateway wants `#rrggbb`. */
export function colorOf(identity: User.IIdentity | null): string {
  const probe = document.createElement("span");
  probe.style.color = identity?.color ?? GREY;
  document.body.append(probe);
  const channels = /^rgba?\((\d+), (\d+), (\d+)/.exec(getComputedStyle(probe).color);
  probe.remove();
  if (channels === null) {
    return GREY;
  }
  return `#${channels
    .slice(1)
    .map((channel) => Number(channel).toString(16).padStart(2, "0"))
    .join("")}`;
}
