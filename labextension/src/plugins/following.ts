import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, InputDialog, Notification } from "@jupyterlab/apputils";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { CATEGORY, CommandIDs, describedBy, textOf } from "../commands.js";
import { IRoomDrives } from "../drives.js";
import { messageOf } from "../errors.js";
import { Following } from "../following.js";
// What is followed is gone to at once.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { Places } from "../places.js";
import type { IMember } from "../protocols/rooms.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms } from "../tokens.js";
import { FollowingItem } from "../widgets/following_item.js";

/** Where a click is no wish to go one's own way. */
const BESIDE = "#embedenv-rooms, .embedenv-Following, .lm-Menu, .jp-Dialog, .jp-toastContainer";

export const followingPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:following",
  description: "Has in front what another member of a room has.",
  autoStart: true,
  requires: [IRooms],
  optional: [IRoomDrives, IDocumentManager, IStatusBar, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    drives: IRoomDrives | null,
    documents: IDocumentManager | null,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const { commands } = app;
    const inRoom = new RoomCommands(commands, rooms, trans, palette);
    const places = new Places({ app, rooms, drives, documents });
    const following = new Following(
      rooms,
      (room, where) => places.show(room, where),
      (error) => {
        Notification.warning(messageOf(error));
      },
    );

    const others = (room: IRoom): readonly IMember[] =>
      room.self === null ? [] : room.model.members.filter(({ id }) => id !== room.self?.id);

    const choose = async (room: IRoom, wanted: string | null): Promise<IMember | null> => {
      const candidates = others(room).filter(({ id }) => wanted === null || id === wanted);
      if (candidates.length <= 1) {
        return candidates[0] ?? null;
      }
      const items = candidates.map(({ id, user }) => `${user} (${id.slice(0, 6)})`);
      const { button, value } = await InputDialog.getItem({
        title: trans.__("Follow"),
        label: trans.__("Member"),
        items,
        okLabel: trans.__("Follow"),
      });
      return button.accept && value !== null ? (candidates[items.indexOf(value)] ?? null) : null;
    };

    inRoom.add(CommandIDs.followMember, {
      label: trans.__("Follow Member…"),
      caption: trans.__("Have in front here what another member of a room has"),
      role: "view",
      args: { member: trans.__("The id of the member; the user is asked where it is left out.") },
      fits: (room) => others(room).length > 0,
      isToggled: (args) =>
        following.isFollowing(textOf(args["room"]) ?? "", textOf(args["member"]) ?? ""),
      execute: async (room, args) => {
        const member = await choose(room, textOf(args["member"]));
        if (member !== null && following.isFollowing(room.id, member.id)) {
          following.stop();
        } else if (member !== null) {
          following.start(room, member);
        }
      },
    });

    commands.addCommand(CommandIDs.stopFollowing, {
      label: trans.__("Stop Following"),
      caption: trans.__("Go your own way again; Escape and any click do the same"),
      describedBy: describedBy({}),
      isEnabled: () => following.now !== null,
      execute: () => {
        following.stop();
      },
    });
    palette?.addItem({ command: CommandIDs.stopFollowing, category: CATEGORY });

    const item = new FollowingItem(following, trans);
    statusBar?.registerStatusItem(followingPlugin.id, {
      item,
      align: "left",
      rank: 9,
      isActive: () => following.now !== null,
      activeStateChanged: following.changed,
    });

    const clicked = (event: PointerEvent): void => {
      // A preview's clicks stay in its frame; what programs do is no click of the user.
      if (event.isTrusted && !(event.target instanceof Element && event.target.closest(BESIDE))) {
        following.stop();
      }
    };
    const pressed = (event: KeyboardEvent): void => {
      if (event.key === "Escape") {
        following.stop();
      }
    };
    following.changed.connect(() => {
      commands.notifyCommandChanged(CommandIDs.followMember);
      commands.notifyCommandChanged(CommandIDs.stopFollowing);
      document.removeEventListener("pointerdown", clicked, true);
      document.removeEventListener("keydown", pressed, true);
      if (following.now !== null) {
        document.addEventListener("pointerdown", clicked, true);
        document.addEventListener("keydown", pressed, true);
        if (statusBar === null) {
          Notification.info(trans.__("Following %1", following.now.member.user));
        }
      }
    });
    following.ended.connect((_, [{ member, room }, why]) => {
      if (why === "left") {
        Notification.info(
          trans.__("You follow %1 no more: they are not in %2.", member.user, room.name),
          { autoClose: 5000 },
        );
      }
    });
  },
};
