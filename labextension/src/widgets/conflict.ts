/** Asks what becomes of a save when somebody changed the file in the meantime. */

import { Dialog, showDialog } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";

import type { IVersions } from "./differences.js";
import { Differences } from "./differences.js";

export type Decision = "overwrite" | "revert" | "cancel";

export interface IConflictQuestion {
  /** As JupyterLab shows it, with the drive. */
  readonly path: string;
  /** The file is gone from the room. */
  readonly isGone: boolean;
  /** Fetches both versions; `null` where they cannot be compared as text. */
  readonly versions: () => Promise<IVersions | null>;
}

/** JupyterLab's own question, and a look at the differences before it is answered. */
export async function askAboutConflict(
  question: IConflictQuestion,
  trans: TranslationBundle,
): Promise<Decision> {
  const { path, isGone } = question;
  const show = Dialog.createButton({ label: trans.__("Show differences"), actions: ["show"] });
  const result = await showDialog({
    title: isGone ? trans.__("File Deleted") : trans.__("File Changed"),
    body: isGone
      ? trans.__("“%1” was deleted in the room. Do you want to save the version open here?", path)
      : trans.__(
          "“%1” was changed in the room since it was opened or saved here. Do you want to replace it with the version open here, or load the version of the room?",
          path,
        ),
    buttons: isGone
      ? [Dialog.cancelButton(), Dialog.okButton({ label: trans.__("Save") })]
      : [Dialog.cancelButton(), show, ...choices(trans)],
    // Enter must lose nothing.
    defaultButton: isGone ? 0 : 1,
  });
  if (isGone) {
    return result.button.accept ? "overwrite" : "cancel";
  }
  return result.button.actions.includes("show")
    ? askWithDifferences(question, trans)
    : decisionIn(result.button);
}

async function askWithDifferences(
  question: IConflictQuestion,
  trans: TranslationBundle,
): Promise<Decision> {
  const versions = await question.versions();
  const result = await showDialog({
    title: trans.__("Differences in “%1”", question.path),
    body:
      versions === null
        ? trans.__("This is no text, so the two versions cannot be shown side by side.")
        : new Differences(versions, trans),
    buttons: [Dialog.cancelButton(), ...choices(trans)],
    defaultButton: 0,
  });
  return decisionIn(result.button);
}

function choices(trans: TranslationBundle): readonly Dialog.IButton[] {
  return [
    Dialog.okButton({ label: trans.__("Revert"), actions: ["revert"] }),
    Dialog.warnButton({ label: trans.__("Overwrite"), actions: ["overwrite"] }),
  ];
}

function decisionIn(button: Dialog.IButton): Decision {
  if (button.actions.includes("overwrite")) {
    return "overwrite";
  }
  return button.actions.includes("revert") ? "revert" : "cancel";
}
