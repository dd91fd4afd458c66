/** The plugins that JupyterLab loads. */

import { copiesPlugin } from "./plugins/copies.js";
import { joiningPlugin } from "./plugins/joining.js";
import { kernelsPlugin } from "./plugins/kernels.js";
import { launcherPlugin } from "./plugins/launcher.js";
import { lifecyclePlugin } from "./plugins/lifecycle.js";
import { notificationsPlugin } from "./plugins/notifications.js";
import { openingPlugin } from "./plugins/opening.js";
import { panelPlugin } from "./plugins/panel.js";
import { roomsPlugin, settingsPlugin } from "./plugins/rooms.js";
import { runningPlugin } from "./plugins/running.js";
import { sharingPlugin } from "./plugins/sharing.js";
import { statusPlugin } from "./plugins/status.js";

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
];
