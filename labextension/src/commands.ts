/** The names of our commands. Their labels and what they do are in plugins/. */

export const CommandIDs = {
  newRoom: "embedenv:new-room",
  joinRoom: "embedenv:join-room",
  showRooms: "embedenv:show-rooms",
  enterRoom: "embedenv:enter-room",
  leaveRoom: "embedenv:leave-room",
  newNotebook: "embedenv:new-notebook",
  openTerminal: "embedenv:open-terminal",
  openFiles: "embedenv:open-files",
  copyLink: "embedenv:copy-join-link",
  manageKeys: "embedenv:manage-keys",
  changeRole: "embedenv:change-role",
  followMember: "embedenv:follow-member",
  stopFollowing: "embedenv:stop-following",
  renameRoom: "embedenv:rename-room",
  pauseRoom: "embedenv:pause-room",
  resumeRoom: "embedenv:resume-room",
  keepRoom: "embedenv:keep-room",
  snapshotRoom: "embedenv:snapshot-room",
  forkRoom: "embedenv:fork-room",
  restartRoom: "embedenv:restart-room",
  stopRoom: "embedenv:stop-room",
  postMortem: "embedenv:show-post-mortem",
  restoreTerminal: "embedenv:restore-terminal",
  endTerminal: "embedenv:end-terminal",
  exitTerminal: "embedenv:exit-terminal",
  restoreFiles: "embedenv:restore-files",
  showChangedFiles: "embedenv:show-changed-files",
  openInRoom: "embedenv:open-in-room",
  copyToServer: "embedenv:copy-to-server",
  openPreview: "embedenv:open-preview",
  restorePreview: "embedenv:restore-preview",
  reloadPreview: "embedenv:reload-preview",
  openPreviewOutside: "embedenv:open-preview-outside",
  sharePreview: "embedenv:share-preview",
  stopSharingPreview: "embedenv:stop-sharing-preview",
  showLatency: "embedenv:open-latency-monitor",
  showInspector: "embedenv:open-wire-inspector",
  showLanguages: "embedenv:open-language-board",
} as const;

/** The category of our cards in the launcher and of our commands in the palette. */
export const CATEGORY = "Embedenv";

/** What our commands take as arguments, for those who call them: assistants, shortcuts, menus. */
export function describedBy(properties: Readonly<Record<string, string>>): {
  args: { type: "object"; properties: Record<string, { type: "string"; description: string }> };
} {
  const described = Object.entries(properties).map(
    ([name, description]) => [name, { type: "string", description }] as const,
  );
  return { args: { type: "object", properties: Object.fromEntries(described) } };
}

/** The argument of a command, if it is a text. */
export function textOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
