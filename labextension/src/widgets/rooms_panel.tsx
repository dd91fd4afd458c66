/** The side panel "Rooms": the open ones, with all that goes on in them, and how the last ones ended. */

import type { ITranslator, TranslationBundle } from "@jupyterlab/translation";
import {
  addIcon,
  CommandToolbarButton,
  PanelWithToolbar,
  ReactWidget,
  SidePanel,
  UseSignal,
} from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";
import { AccordionPanel, Menu } from "@lumino/widgets";
import * as React from "react";

import { CommandIDs } from "../commands.js";
import { roomIcon } from "../icons.js";
import type { IRooms } from "../tokens.js";
import { EndedRooms } from "./ended_rooms.js";
import { RoomCard } from "./room_card.js";

export interface IRoomsPanelOptions {
  readonly rooms: IRooms;
  readonly commands: CommandRegistry;
  readonly translator: ITranslator;
  readonly trans: TranslationBundle;
}

/** In the order of the menu; `null` is a line between. */
const MENU: readonly (string | null)[] = [
  CommandIDs.enterRoom,
  CommandIDs.leaveRoom,
  null,
  CommandIDs.newNotebook,
  CommandIDs.openTerminal,
  CommandIDs.openFiles,
  null,
  CommandIDs.copyLink,
  CommandIDs.manageKeys,
  CommandIDs.renameRoom,
  null,
  CommandIDs.pauseRoom,
  CommandIDs.resumeRoom,
  CommandIDs.keepRoom,
  CommandIDs.snapshotRoom,
  CommandIDs.forkRoom,
  CommandIDs.restartRoom,
  CommandIDs.stopRoom,
];

export class RoomsPanel extends SidePanel {
  constructor(options: IRoomsPanelOptions) {
    super({ translator: options.translator });
    const { commands, trans } = options;
    this.id = "embedenv-rooms";
    this.addClass("embedenv-RoomsPanel");
    this.title.icon = roomIcon;
    this.title.caption = trans.__("Embedenv rooms");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", trans.__("Embedenv rooms"));
    const { joinRoom, newRoom } = CommandIDs;
    this.toolbar.addItem(
      newRoom,
      new CommandToolbarButton({ commands, id: newRoom, icon: addIcon }),
    );
    this.toolbar.addItem(joinRoom, new CommandToolbarButton({ commands, id: joinRoom }));
    this.addWidget(section(trans.__("Open"), new OpenRooms(options)));
    this.addWidget(section(trans.__("Ended"), new EndedRooms(options)));
    if (this.content instanceof AccordionPanel) {
      this.content.setRelativeSizes([4, 1]);
    }
  }
}

function section(label: string, content: ReactWidget): PanelWithToolbar {
  const panel = new PanelWithToolbar();
  panel.addClass("embedenv-RoomsPanel-section");
  panel.title.label = label;
  panel.addWidget(content);
  return panel;
}

class OpenRooms extends ReactWidget {
  private readonly menu: Menu;
  private readonly timer: number;

  constructor(private readonly options: IRoomsPanelOptions) {
    super();
    this.menu = new Menu({ commands: options.commands });
    options.commands.commandChanged.connect(this.commandChanged, this);
    // Times go on while nothing else changes.
    this.timer = window.setInterval(() => {
      if (this.isVisible) {
        this.update();
      }
    }, 1000);
  }

  override dispose(): void {
    window.clearInterval(this.timer);
    this.menu.dispose();
    super.dispose();
  }

  private commandChanged(_: CommandRegistry, { id }: CommandRegistry.ICommandChangedArgs): void {
    if (id === CommandIDs.followMember) {
      this.update();
    }
  }

  protected override render(): React.ReactElement {
    return (
      <UseSignal signal={this.options.rooms.changed}>
        {() => (
          <OpenList
            {...this.options}
            openMenu={(room, x, y) => {
              this.openMenu(room, x, y);
            }}
          />
        )}
      </UseSignal>
    );
  }

  private openMenu(room: string, x: number, y: number): void {
    const { commands } = this.options;
    this.menu.clearItems();
    for (const command of MENU) {
      if (command === null) {
        this.menu.addItem({ type: "separator" });
      } else if (commands.hasCommand(command)) {
        this.menu.addItem({ command, args: { room } });
      }
    }
    this.menu.open(x, y);
  }
}

interface IOpenListProps extends IRoomsPanelOptions {
  readonly openMenu: (room: string, x: number, y: number) => void;
}

function OpenList({ commands, openMenu, rooms, trans }: IOpenListProps): React.ReactElement {
  const [closed, setClosed] = React.useState<ReadonlySet<string>>(new Set());
  const { all, link } = rooms;
  const credits = rooms.account?.credits;
  const toggle = (id: string): void => {
    const next = new Set(closed);
    if (!next.delete(id)) {
      next.add(id);
    }
    setClosed(next);
  };
  return (
    <>
      {typeof credits === "number" && (
        <p className="embedenv-Credits">{trans._n("%1 credit left", "%1 credits left", credits)}</p>
      )}
      {link.state !== "connected" && (
        <p className="embedenv-hint" role="status">
          {link.reason === ""
            ? trans.__("Looking for the rooms…")
            : trans.__("No connection to the gateway: %1", link.reason)}
        </p>
      )}
      {all.length === 0 && link.state === "connected" && (
        <p className="embedenv-hint">
          {trans.__("No room is open. A new one is there in a moment.")}
        </p>
      )}
      {all.map((room) => (
        <RoomCard
          key={room.id}
          room={room}
          commands={commands}
          trans={trans}
          nowS={Date.now() / 1000}
          isOpen={!closed.has(room.id)}
          toggle={() => {
            toggle(room.id);
          }}
          openMenu={(x, y) => {
            openMenu(room.id, x, y);
          }}
        />
      ))}
    </>
  );
}
