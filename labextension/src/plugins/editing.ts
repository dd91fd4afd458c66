/** Files of rooms in editors: the carets of others, and nothing to type for who may only look. */

import type { Extension } from "@codemirror/state";
import { Compartment, EditorState } from "@codemirror/state";
import { showPanel, ViewPlugin } from "@codemirror/view";
import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

// eslint-disable-next-line jupyter/prefer-lazy-imports -- an editor asks for its extensions at once
import { carets } from "../carets.js";
import type { SharedDocument } from "../documents.js";
// eslint-disable-next-line jupyter/prefer-lazy-imports -- as above
import { documentOf } from "../documents.js";

export const editingPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:editing",
  description: "Shows who else is in a file of a room, by name and colour at their carets.",
  autoStart: true,
  requires: [IEditorExtensionRegistry],
  optional: [ITranslator],
  activate: (_app, registry: IEditorExtensionRegistry, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    registry.addExtension({
      name: "embedenv-room-document",
      factory: ({ model }) => {
        const shared = documentOf(model.sharedModel);
        return shared === undefined
          ? null
          : EditorExtensionRegistry.createImmutableExtension([
              carets(shared.model.ysource, shared.model.awareness),
              readOnlyUnless(
                shared,
                trans.__("View only: your role in this room does not change files."),
              ),
            ]);
      },
    });
  },
};

/** Follows the role of this user, which may change while the file is open, and says why nothing can be typed. */
function readOnlyUnless(shared: SharedDocument, reason: string): Extension {
  const compartment = new Compartment();
  const notice = (): { dom: HTMLElement; top: boolean } => {
    const dom = document.createElement("div");
    dom.className = "embedenv-ViewOnly";
    dom.setAttribute("role", "status");
    dom.textContent = reason;
    return { dom, top: true };
  };
  const state = (): Extension =>
    shared.mayWrite
      ? EditorState.readOnly.of(false)
      : [EditorState.readOnly.of(true), showPanel.of(notice)];
  const follow = ViewPlugin.define((view) => {
    const roleChanged = (): void => {
      if (view.state.readOnly === shared.mayWrite) {
        view.dispatch({ effects: compartment.reconfigure(state()) });
      }
    };
    shared.roleChanged.connect(roleChanged);
    return { destroy: () => shared.roleChanged.disconnect(roleChanged) };
  });
  return [compartment.of(state()), follow];
}
