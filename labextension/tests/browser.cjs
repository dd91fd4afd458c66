// What JupyterLab's widgets ask a browser for as soon as they are loaded, and jsdom does not have.
if (typeof window !== "undefined") {
  globalThis.DragEvent ??= class DragEvent extends MouseEvent {};
  globalThis.TextEncoder ??= require("node:util").TextEncoder;
  globalThis.TextDecoder ??= require("node:util").TextDecoder;
  window.matchMedia ??= () => ({ matches: false, addEventListener() {}, removeEventListener() {} });
  globalThis.ResizeObserver ??= class ResizeObserver {
    observe() {}
    unobserve() {}
    disconnect() {}
  };
}
