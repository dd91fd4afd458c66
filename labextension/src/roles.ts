/** What roles are called, and which of them can be given away. */

import type { TranslationBundle } from "@jupyterlab/translation";

import type { Role } from "./protocols/rooms.js";

/** What a key may make somebody; nobody becomes an owner by a link. */
export const SHARED_ROLES = ["view", "run", "edit"] as const satisfies readonly Role[];
export type SharedRole = (typeof SHARED_ROLES)[number];

export function roleText(role: Role, trans: TranslationBundle): string {
  switch (role) {
    case "view":
      return trans.__("may look");
    case "run":
      return trans.__("may run code");
    case "edit":
      return trans.__("may run and edit");
    case "own":
      return trans.__("owner");
    default:
      return role satisfies never;
  }
}

export function ownRoleText(role: Role, trans: TranslationBundle): string {
  switch (role) {
    case "view":
      return trans.__("you may look");
    case "run":
      return trans.__("you may run code");
    case "edit":
      return trans.__("you may run and edit");
    case "own":
      return trans.__("your room");
    default:
      return role satisfies never;
  }
}
