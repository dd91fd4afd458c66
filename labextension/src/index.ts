import type { JupyterFrontEndPlugin } from "@jupyterlab/application";

const plugin: JupyterFrontEndPlugin<void> = {
  id: "embedenv-jupyter:plugin",
  description: "x",
  autoStart: true,
  activate: () => undefined,
};

export default [plugin];
