/** The pictures that JupyterLab has none of; their colours are those of the theme. */

import { LabIcon } from "@jupyterlab/ui-components";

/** A door that stands open. */
export const roomIcon = new LabIcon({
  name: "embedenv-jupyter:room",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M19 19V5c0-1.1-.9-2-2-2h-4v2h4v14h-4v2h9v-2h-3zM2 19v2h3v-2H2z"/>
  <path class="jp-icon3" fill="#616161" d="M4 4.6v14.8c0 .6.5 1.1 1.1 1.1l6.9 1.9c.6.2 1-.2 1-.8V2.4c0-.6-.4-1-1-.8L5.1 3.5c-.6 0-1.1.5-1.1 1.1zM9.8 13.2a1.2 1.2 0 1 1 0-2.4 1.2 1.2 0 0 1 0 2.4z"/>
</svg>`,
});

/** A room that somebody enters. */
export const joinIcon = new LabIcon({
  name: "embedenv-jupyter:join",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M11 7 9.6 8.4l2.6 2.6H2v2h10.2l-2.6 2.6L11 17l5-5-5-5zm9 12h-8v2h8c1.1 0 2-.9 2-2V5c0-1.1-.9-2-2-2h-8v2h8v14z"/>
</svg>`,
});

/** A line that goes up and down. */
export const latencyIcon = new LabIcon({
  name: "embedenv-jupyter:latency",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="m9.2 20.5-3-7.5H2v-2h5.6l1.5 3.9L13.4 3l3.3 8H22v2h-6.6l-1.9-4.6z"/>
</svg>`,
});

/** What goes there and what comes back, under a lens. */
export const wireIcon = new LabIcon({
  name: "embedenv-jupyter:wire",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="m7 3 5 5-1.4 1.4L8 6.8V15H6V6.8L3.4 9.4 2 8zm10 18-5-5 1.4-1.4 2.6 2.6V9h2v8.200l2.6-2.6L22 16z"/>
</svg>`,
});

/** Signs between which code stands. */
export const languagesIcon = new LabIcon({
  name: "embedenv-jupyter:languages",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M9.4 16.600 4.800 12l4.600-4.600L8 6l-6 6 6 6zm5.200 0 4.600-4.600-4.600-4.600L16 6l6 6-6 6z"/>
</svg>`,
});
