/** The question before something that cannot be undone. */

import { Dialog, showDialog } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";

/** Asks before what cannot be undone. */
export async function isSure(
  trans: TranslationBundle,
  title: string,
  text: string,
  action: string,
): Promise<boolean> {
  const { button } = await showDialog({
    title,
    body: text,
    buttons: [
      Dialog.cancelButton({ label: trans.__("Cancel") }),
      Dialog.warnButton({ label: action }),
    ],
  });
  return button.accept;
}
