/** JupyterLab's packages are ES modules, which Jest does not read: TypeScript turns them, and ours, into CommonJS. */
const ES_MODULES = [
  "@jupyter",
  "@jupyterlab",
  "@lumino",
  "@microsoft",
  "lib0",
  "y-protocols",
  "yjs",
];

export default {
  testEnvironment: "node",
  testMatch: ["<rootDir>/tests/**/*.test.{ts,tsx}"],
  setupFiles: ["<rootDir>/tests/browser.cjs"],
  moduleNameMapper: {
    // Sources name each other as Node.js wants them.
    "^(\\.{1,2}/.+)\\.js$": "$1",
    "\\.(css|svg)$": "<rootDir>/tests/asset.cjs",
  },
  transform: {
    "\\.[jt]sx?$": [
      "ts-jest",
      {
        // `npm run lint` checks the types; here they would cost seconds of every run.
        diagnostics: false,
        tsconfig: {
          allowJs: true,
          esModuleInterop: true,
          inlineSourceMap: true,
          isolatedModules: true,
          jsx: "react",
          module: "CommonJS",
          target: "ES2022",
        },
      },
    ],
  },
  transformIgnorePatterns: [`/node_modules/(?!(${ES_MODULES.join("|")})/)`],
};
