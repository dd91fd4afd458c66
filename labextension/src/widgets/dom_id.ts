import { DOMUtils } from "@jupyterlab/apputils";
import * as React from "react";

/** An id that nothing else on the page has. React's own `useId` counts anew in each widget of JupyterLab. */
export function useDomId(): string {
  const [id] = React.useState(() => DOMUtils.createDomID());
  return id;
}
