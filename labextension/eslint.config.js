import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import eslint from "@eslint/js";
import jupyter from "@jupyter/eslint-plugin";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["lib/", "build/", "coverage/", "node_modules/"] },
  eslint.configs.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    extends: [
      tseslint.configs.strictTypeChecked,
      tseslint.configs.stylisticTypeChecked,
      jupyter.configs.recommended[0],
    ],
    plugins: { jupyter, "react-hooks": hooks },
    languageOptions: {
      parserOptions: {
        project: "./tsconfig.test.json",
        tsconfigRootDir: dirname(fileURLToPath(import.meta.url)),
      },
    },
    rules: {
      ...hooks.configs.recommended.rules,
      // JupyterLab's way: interfaces are IFoo.
      "@typescript-eslint/naming-convention": [
        "error",
        {
          selector: "interface",
          format: ["PascalCase"],
          custom: { regex: "^I[A-Z]", match: true },
        },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // Lumino's signals take a method and its object apart.
      "@typescript-eslint/unbound-method": "off",
      "no-console": "error",
    },
  },
  { files: ["schema/*.json"], plugins: { jupyter }, extends: [jupyter.configs.recommended[1]] },
  {
    files: ["tests/**"],
    rules: { "jupyter/no-untranslated-string": "off" },
  },
  {
    files: ["**/*.cjs"],
    languageOptions: {
      globals: {
        module: "writable",
        require: "readonly",
        window: "readonly",
        MouseEvent: "readonly",
      },
    },
  },
);
