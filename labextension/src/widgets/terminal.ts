/** JupyterLab's terminal on a terminal of a room, and what it does not have: who may only look sees that. */

import { MainAreaWidget } from "@jupyterlab/apputils";
import type { Terminal as Sessions } from "@jupyterlab/services";
import type { ITerminal } from "@jupyterlab/terminal";
import type { TranslationBundle } from "@jupyterlab/translation";
import { terminalIcon, Toolbar } from "@jupyterlab/ui-components";
import type { IMessageHandler, Message } from "@lumino/messaging";
import { MessageLoop } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

import type { IPerson, IWhere } from "../protocols/rooms.js";
import { personNode } from "./person.js";

export interface IRoomTerminalOptions {
  readonly session: Sessions.ITerminalConnection;
  readonly content: ITerminal.ITerminal;
  readonly roomId: string;
  readonly roomName: string;
  readonly trans: TranslationBundle;
  /** The key that leaves the terminal, as people read it; `null` where the user has taken it away. */
  readonly wayOut: string | null;
}

/** A terminal of a room in the main area. */
export class RoomTerminal extends MainAreaWidget<ITerminal.ITerminal> {
  readonly session: Sessions.ITerminalConnection;
  readonly roomId: string;
  private readonly trans: TranslationBundle;
  private readonly viewOnly: Widget;
  private readonly typist = new Widget();
  private roomNameNow: string;
  private mayTypeNow = true;

  constructor({ session, content, roomId, roomName, trans, wayOut }: IRoomTerminalOptions) {
    // Not the usual one, which puts what does not fit into a menu: while it is hidden, nothing fits.
    super({ content, toolbar: new Toolbar() });
    this.session = session;
    this.roomId = roomId;
    this.roomNameNow = roomName;
    this.trans = trans;
    this.id = `embedenv-terminal-${roomId}-${session.name}`;
    this.addClass("embedenv-RoomTerminal");
    this.title.icon = terminalIcon;
    this.title.closable = true;
    this.viewOnly = notice(
      trans.__("View only: your role in this room does not type into terminals."),
    );
    this.typist.addClass("embedenv-RoomTerminal-typist");
    this.toolbar.addItem("view-only", this.viewOnly);
    this.toolbar.addItem("typist", this.typist);
    this.toolbar.hide();
    if (wayOut !== null) {
      describe(content, trans.__("%1 leaves the terminal for its tab.", wayOut));
    }
    // The stock widget names itself by what the program in it wishes, or by its number.
    content.title.changed.connect(this.name, this);
    this.name();
  }

  get roomName(): string {
    return this.roomNameNow;
  }

  get mayType(): boolean {
    return this.mayTypeNow;
  }

  /** What this shows of the room. */
  get where(): IWhere {
    return { kind: "terminal", path: this.session.name };
  }

  /**
   * The room has another name, the user another role in it, or somebody else types. `typist` is null where
   * nobody has typed, or nobody is there to whom it would be news.
   */
  follow(roomName: string, mayType: boolean, typist: IPerson | null, isOwn: boolean): void {
    this.roomNameNow = roomName;
    this.mayTypeNow = mayType;
    this.viewOnly.setHidden(mayType);
    this.typist.setHidden(typist === null);
    this.toolbar.setHidden(mayType && typist === null);
    this.toolbar.toggleClass("embedenv-mod-viewOnly", !mayType);
    if (typist !== null) {
      const { trans } = this;
      const text = isOwn ? trans.__("You typed last") : trans.__("%1 typed last", typist.user);
      if (this.typist.node.textContent !== text) {
        this.typist.node.replaceChildren(personNode(typist.color, text));
      }
    }
    this.name();
  }

  private name(): void {
    const { mayType, roomName, session, trans } = this;
    this.title.label = mayType
      ? trans.__("%1: terminal %2", roomName, session.name)
      : trans.__("%1: terminal %2 (view only)", roomName, session.name);
    this.title.caption = this.title.label;
    this.content.node.setAttribute("aria-label", this.title.label);
  }
}

function notice(text: string): Widget {
  const widget = new Widget();
  widget.addClass("embedenv-RoomTerminal-notice");
  widget.node.textContent = text;
  widget.node.setAttribute("role", "status");
  return widget;
}

/** Screen readers tell how to leave, when the terminal has the focus; the stock widget's own way stays told. */
function describe(content: ITerminal.ITerminal, text: string): void {
  const node = document.createElement("p");
  node.id = `${content.id}-way-out`;
  node.className = "jp-sr-only";
  node.textContent = text;
  content.node.append(node);
  // It makes what takes the keys while it is shown for the first time, and says nothing of it.
  MessageLoop.installMessageHook(content, (_: IMessageHandler, message: Message) => {
    if (message.type === "update-request") {
      queueMicrotask(() => {
        const input = content.node.querySelector("textarea");
        const described = input?.getAttribute("aria-describedby") ?? "";
        if (input !== null && !described.split(" ").includes(node.id)) {
          input.setAttribute("aria-describedby", `${described} ${node.id}`.trim());
        }
      });
    }
    return true;
  });
}
