/** Commands that do something with one room: which one it is, whether it may be done, and what went wrong. */

import { InputDialog, showErrorMessage } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { LabIcon } from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";
import type { ReadonlyPartialJSONObject } from "@lumino/coreutils";

import { CATEGORY, describedBy, textOf } from "./commands.js";
import type { Role } from "./protocols/rooms.js";
import type { IRoom, IRooms } from "./tokens.js";

export interface IRoomCommand {
  readonly label: string;
  readonly caption?: string;
  readonly icon?: LabIcon;
  /** The least role that may do it. */
  readonly role: Role;
  /** Whether it makes sense in this room now. */
  readonly fits?: (room: IRoom) => boolean;
  /** Whether it is on, for commands that switch something. */
  readonly isToggled?: (args: ReadonlyPartialJSONObject) => boolean;
  /** Further arguments, with what they are. */
  readonly args?: Readonly<Record<string, string>>;
  readonly execute: (room: IRoom, args: ReadonlyPartialJSONObject) => Promise<unknown>;
}

export interface IPalette {
  addItem(item: { readonly command: string; readonly category: string }): unknown;
}

export class RoomCommands {
  constructor(
    private readonly commands: CommandRegistry,
    private readonly rooms: IRooms,
    private readonly trans: TranslationBundle,
    private readonly palette: IPalette | null,
  ) {}

  /** Registers a command that takes `room` as an argument, or asks which one. */
  add(id: string, command: IRoomCommand): void {
    const { trans } = this;
    this.commands.addCommand(id, {
      label: command.label,
      caption: command.caption ?? command.label,
      describedBy: describedBy({
        room: trans.__("The id of the room; the user is asked where it is left out."),
        ...command.args,
      }),
      isEnabled: (args) => this.candidates(command, args).length > 0,
      isVisible: (args) =>
        textOf(args["room"]) === null || this.candidates(command, args).length > 0,
      execute: async (args) => {
        const room = await this.choose(command, args);
        return room === null ? null : this.tell(command.label, () => command.execute(room, args));
      },
      ...(command.icon === undefined ? {} : { icon: command.icon }),
      ...(command.isToggled === undefined ? {} : { isToggled: command.isToggled }),
    });
    this.palette?.addItem({ command: id, category: CATEGORY });
  }

  /** Does something and shows what went wrong, if anything did. */
  async tell<T>(title: string, action: () => Promise<T>): Promise<T | null> {
    try {
      return await action();
    } catch (error) {
      await showErrorMessage(title, error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  private candidates(
    { fits, role }: IRoomCommand,
    args: ReadonlyPartialJSONObject,
  ): readonly IRoom[] {
    const wanted = textOf(args["room"]);
    return this.rooms.all.filter(
      (room) => (wanted === null || room.id === wanted) && room.may(role) && (fits?.(room) ?? true),
    );
  }

  private async choose(
    command: IRoomCommand,
    args: ReadonlyPartialJSONObject,
  ): Promise<IRoom | null> {
    const { trans } = this;
    const rooms = this.candidates(command, args);
    if (rooms.length <= 1) {
      return rooms[0] ?? null;
    }
    // Names need not differ.
    const items = rooms.map((room) => `${room.name} (${room.id.slice(0, 6)})`);
    const { button, value } = await InputDialog.getItem({
      title: command.label,
      label: trans.__("Room"),
      items,
      okLabel: trans.__("Choose"),
    });
    return button.accept && value !== null ? (rooms[items.indexOf(value)] ?? null) : null;
  }
}
