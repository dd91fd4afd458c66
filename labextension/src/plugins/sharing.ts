import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import {
  Clipboard,
  Dialog,
  ICommandPalette,
  InputDialog,
  Notification,
  showDialog,
} from "@jupyterlab/apputils";
import { URLExt } from "@jupyterlab/coreutils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { linkIcon } from "@jupyterlab/ui-components";

import { CommandIDs, textOf } from "../commands.js";
import { joinLink } from "../join_link.js";
import type { IJoinKey, IMember, Role } from "../protocols/rooms.js";
import { RoomCommands } from "../room_commands.js";
import type { IRoom } from "../tokens.js";
import { IRooms } from "../tokens.js";
import { roleText, SHARED_ROLES } from "../roles.js";

export const sharingPlugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:sharing",
  description: "Lets people into rooms, and says what they may do there.",
  autoStart: true,
  requires: [IRooms],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rooms: IRooms,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
  ): void => {
    const trans = (translator ?? nullTranslator).load("embedenv_jupyter");
    const inRoom = new RoomCommands(app.commands, rooms, trans, palette);

    const copy = (key: IJoinKey): void => {
      const { appUrl, baseUrl } = app.serviceManager.serverSettings;
      const page = new URL(URLExt.join(baseUrl, appUrl), window.location.href);
      Clipboard.copyToSystem(joinLink(page.href, key.join));
      Notification.success(
        trans.__("The link is copied. Whoever has it %1.", roleText(key.role, trans)),
        { autoClose: 5000 },
      );
    };

    inRoom.add(CommandIDs.copyLink, {
      label: trans.__("Copy Join Link…"),
      caption: trans.__("Let others into the room by a link"),
      icon: linkIcon,
      role: "own",
      execute: async (room) => {
        const { ShareBody } = await import("../widgets/share.js");
        const { button, value } = await showDialog({
          title: trans.__("A link into %1", room.name),
          body: new ShareBody(trans),
          buttons: [
            Dialog.cancelButton({ label: trans.__("Cancel") }),
            Dialog.okButton({ label: trans.__("Copy link") }),
          ],
        });
        if (button.accept && value !== null) {
          copy(await rooms.api.createKey(room.id, value.role, value.expiresS));
        }
      },
    });

    inRoom.add(CommandIDs.manageKeys, {
      label: trans.__("Join Keys…"),
      caption: trans.__("See, rotate and revoke the keys of the room"),
      role: "own",
      execute: async (room) => {
        const { api } = rooms;
        const { KeysBody } = await import("../widgets/keys.js");
        await showDialog({
          title: trans.__("Who can come into %1", room.name),
          body: new KeysBody({
            trans,
            copy,
            load: () => api.keys(room.id),
            rotate: (key) => api.rotateKey(room.id, key.join),
            revoke: (key) => api.revokeKey(room.id, key.join),
          }),
          buttons: [Dialog.okButton({ label: trans.__("Close") })],
        });
      },
    });

    const chooseMember = async (room: IRoom, wanted: string | null): Promise<IMember | null> => {
      const others = room.model.members.filter(
        (member) => member.role !== "own" && (wanted === null || member.id === wanted),
      );
      if (others.length <= 1) {
        return others[0] ?? null;
      }
      const items = others.map((member) => `${member.user} (${member.id.slice(0, 6)})`);
      const { button, value } = await InputDialog.getItem({
        title: trans.__("Change role"),
        label: trans.__("Member"),
        items,
      });
      return button.accept && value !== null ? (others[items.indexOf(value)] ?? null) : null;
    };

    const chooseRole = async (member: IMember): Promise<Role | null> => {
      const items = SHARED_ROLES.map((role) => roleText(role, trans));
      const { button, value } = await InputDialog.getItem({
        title: trans.__("What %1 may do", member.user),
        items,
        current: roleText(member.role, trans),
        okLabel: trans.__("Change"),
      });
      return button.accept && value !== null ? (SHARED_ROLES[items.indexOf(value)] ?? null) : null;
    };

    inRoom.add(CommandIDs.changeRole, {
      label: trans.__("Change Role of Member…"),
      role: "own",
      args: { member: trans.__("The id of the member; the user is asked where it is left out.") },
      fits: (room) => room.model.members.some((member) => member.role !== "own"),
      execute: async (room, args) => {
        const member = await chooseMember(room, textOf(args["member"]));
        const role = member === null ? null : await chooseRole(member);
        if (member !== null && role !== null && role !== member.role) {
          await rooms.api.changeRole(room.id, member.id, role);
        }
      },
    });
  },
};
