/** The plugins that JupyterLab loads. */

import { authorsPlugin } from "./plugins/authors.js";
import { copiesPlugin } from "./plugins/copies.js";
import { drivesPlugin } from "./plugins/drives.js";
import { editingPlugin } from "./plugins/editing.js";
import { filesPlugin } from "./plugins/files.js";
import { followingPlugin } from "./plugins/following.js";
import { inspectorPlugin } from "./plugins/inspector.js";
import { joiningPlugin } from "./plugins/joining.js";
import { kernelsPlugin } from "./plugins/kernels.js";
import { languagesPlugin } from "./plugins/languages.js";
import { latencyPlugin } from "./plugins/latency.js";
import { launcherPlugin } from "./plugins/launcher.js";
import { lifecyclePlugin } from "./plugins/lifecycle.js";
import { notificationsPlugin } from "./plugins/notifications.js";
import { openingPlugin } from "./plugins/opening.js";
import { panelPlugin } from "./plugins/panel.js";
import { presencePlugin } from "./plugins/presence.js";
import { previewsPlugin } from "./plugins/previews.js";
import { roomsPlugin, settingsPlugin } from "./plugins/rooms.js";
import { runningPlugin } from "./plugins/running.js";
import { sharingPlugin } from "./plugins/sharing.js";
import { statusPlugin } from "./plugins/status.js";
import { terminalsPlugin } from "./plugins/terminals.js";
import { transfersPlugin } from "./plugins/transfers.js";

export default [
  settingsPlugin,
  roomsPlugin,
  openingPlugin,
  joiningPlugin,
  sharingPlugin,
  lifecyclePlugin,
  copiesPlugin,
  panelPlugin,
  launcherPlugin,
  runningPlugin,
  kernelsPlugin,
  statusPlugin,
  notificationsPlugin,
  drivesPlugin,
  filesPlugin,
  transfersPlugin,
  editingPlugin,
  terminalsPlugin,
  previewsPlugin,
  authorsPlugin,
  presencePlugin,
  followingPlugin,
  latencyPlugin,
  inspectorPlugin,
  languagesPlugin,
];
