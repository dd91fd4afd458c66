/** Where the others are in a text that several edit together: their carets, their selections, their names. */

import type { Extension, Range } from "@codemirror/state";
import { Annotation } from "@codemirror/state";
import type { DecorationSet, EditorView, ViewUpdate } from "@codemirror/view";
import { Decoration, ViewPlugin, WidgetType } from "@codemirror/view";
import type { Awareness } from "y-protocols/awareness";
import type { Text } from "yjs";
import {
  createAbsolutePositionFromRelativePosition,
  createRelativePositionFromJSON,
  createRelativePositionFromTypeIndex,
  relativePositionToJSON,
} from "yjs";

/** The field of the awareness that has the selections, as jupyter-collaboration calls it. */
const CURSORS = "cursors";
const GREY = "#808080";
const MAX_NAME = 32;

/** Shows the carets of others, and tells them where this user's are. */
export function carets(text: Text, awareness: Awareness): Extension {
  const plugin = ViewPlugin.define((view) => new Carets(view, text, awareness), {
    decorations: (carets) => carets.decorations,
  });
  return plugin;
}

/** Somebody else, as awareness has them; others wrote it, so nothing of it is certain. */
export interface IOther {
  readonly name: string;
  /** `#rrggbb`. */
  readonly color: string;
  readonly selections: readonly ISelection[];
}

export interface ISelection {
  readonly anchor: number;
  readonly head: number;
  /** Is another one when the other moves, and not when the text around does. */
  readonly place: string;
}

/** Who else is in this text, and where. */
export function othersIn(text: Text, awareness: Awareness): readonly IOther[] {
  return [...awareness.getStates()]
    .filter(([client]) => client !== awareness.clientID)
    .map(([, state]) => ({
      name: nameIn(state["user"]),
      color: colorIn(state["user"]),
      selections: listIn(state[CURSORS]).flatMap((cursor) => {
        const anchor = positionIn(cursor, "anchor", text);
        const head = positionIn(cursor, "head", text);
        return anchor === null || head === null
          ? []
          : [{ anchor, head, place: JSON.stringify(cursor) }];
      }),
    }));
}

/** Black or white, whichever is read better on a colour: relative luminance of WCAG 2. */
export function inkOn(color: string): "#000000" | "#ffffff" {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = parseInt(color.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

const othersMoved = Annotation.define<boolean>();

class Carets {
  decorations: DecorationSet;

  constructor(
    private readonly view: EditorView,
    private readonly text: Text,
    private readonly awareness: Awareness,
  ) {
    this.decorations = this.draw();
    awareness.on("change", this.moved);
  }

  update(update: ViewUpdate): void {
    if (update.view.hasFocus && (update.selectionSet || update.focusChanged)) {
      this.tell(update);
    }
    const isMoved = update.transactions.some((each) => each.annotation(othersMoved) === true);
    if (update.docChanged || isMoved) {
      this.decorations = this.draw();
    }
  }

  destroy(): void {
    this.awareness.off("change", this.moved);
    if (this.view.hasFocus) {
      this.awareness.setLocalStateField(CURSORS, []);
    }
  }

  private readonly moved = (change: Record<string, readonly number[]>): void => {
    const clients = ["added", "updated", "removed"].flatMap((kind) => change[kind] ?? []);
    // What this user does is told while the view updates, which cannot be nested.
    if (clients.some((client) => client !== this.awareness.clientID)) {
      this.view.dispatch({ annotations: othersMoved.of(true) });
    }
  };

  private tell(update: ViewUpdate): void {
    const at = (index: number): unknown =>
      relativePositionToJSON(createRelativePositionFromTypeIndex(this.text, index));
    const { ranges, mainIndex } = update.state.selection;
    this.awareness.setLocalStateField(
      CURSORS,
      ranges.map((range, index) => ({
        anchor: at(range.anchor),
        head: at(range.head),
        primary: index === mainIndex,
        empty: range.empty,
      })),
    );
  }

  private draw(): DecorationSet {
    const { length } = this.view.state.doc;
    const drawn: Range<Decoration>[] = [];
    for (const other of othersIn(this.text, this.awareness)) {
      for (const selection of other.selections) {
        // The text may be ahead of the view by a change that is about to come.
        const anchor = Math.min(selection.anchor, length);
        const head = Math.min(selection.head, length);
        if (anchor !== head) {
          drawn.push(
            Decoration.mark({
              class: "embedenv-Caret-selection",
              attributes: { style: `--embedenv-caret-color: ${other.color}` },
            }).range(Math.min(anchor, head), Math.max(anchor, head)),
          );
        }
        const side = head < anchor ? 1 : -1;
        drawn.push(
          Decoration.widget({ widget: new Caret(other, selection.place), side }).range(head),
        );
      }
    }
    return Decoration.set(drawn, true);
  }
}

class Caret extends WidgetType {
  constructor(
    private readonly other: IOther,
    private readonly place: string,
  ) {
    super();
  }

  /** Another one is drawn when the other moves: the name shows again for a moment. */
  override eq({ other, place }: Caret): boolean {
    const { color, name } = this.other;
    return other.name === name && other.color === color && place === this.place;
  }

  override toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = "embedenv-Caret";
    caret.style.setProperty("--embedenv-caret-color", this.other.color);
    caret.style.setProperty("--embedenv-caret-ink", inkOn(this.other.color));
    // Screen readers read the text, not who is in it.
    caret.setAttribute("aria-hidden", "true");
    const name = document.createElement("span");
    name.className = "embedenv-Caret-name";
    name.textContent = this.other.name;
    // A word joiner on both sides keeps the line from breaking here.
    caret.append("\u2060", name, "\u2060");
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function nameIn(user: unknown): string {
  const name = isRecord(user) ? (user["display_name"] ?? user["name"]) : null;
  return typeof name === "string" ? Array.from(name).slice(0, MAX_NAME).join("") : "";
}

function colorIn(user: unknown): string {
  const color = isRecord(user) ? user["color"] : null;
  return typeof color === "string" && /^#[0-9a-f]{6}$/i.test(color) ? color : GREY;
}

function positionIn(cursor: unknown, end: "anchor" | "head", text: Text): number | null {
  const { doc } = text;
  const position = isRecord(cursor) ? cursor[end] : null;
  if (doc === null || !isRecord(position)) {
    return null;
  }
  try {
    const found = createAbsolutePositionFromRelativePosition(
      createRelativePositionFromJSON(position),
      doc,
    );
    return found?.type === text ? found.index : null;
  } catch {
    return null;
  }
}
