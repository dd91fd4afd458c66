import { drivesPlugin } from "./plugins/drives.js";
import { editingPlugin } from "./plugins/editing.js";
import { filesPlugin } from "./plugins/files.js";
import { previewsPlugin } from "./plugins/previews.js";
import { terminalsPlugin } from "./plugins/terminals.js";
import { transfersPlugin } from "./plugins/transfers.js";

export default [
  drivesPlugin,
  editingPlugin,
  filesPlugin,
  previewsPlugin,
  terminalsPlugin,
  transfersPlugin,
];
