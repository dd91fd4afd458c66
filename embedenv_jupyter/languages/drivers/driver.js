// JavaScript and what is compiled to it, in one context: node driver.js js|ts|coffee|livescript
//
// `const`, `let` and `class` at the top level become `var`, so that a cell can declare them again; `import` becomes
// `require`; a cell with `await` at its top level becomes an async function whose declarations go to the globals. A cell
// is over when nothing of it is pending any more, as a program would be.
const fs = require("fs");
const vm = require("vm");
const { createRequire } = require("module");

const MODULES = "/usr/local/lib/embedenv/node/node_modules";
const lines = readLines(fs.openSync(process.env.CELL_IN, "r"));
const answers = fs.openSync(process.env.CELL_OUT, "w");
const compile = compilerOf(process.argv[2]);
let number = 0;
let isBusy = false;
let failure = null;

function* readLines(fd) {
  const buffer = Buffer.alloc(4096);
  let rest = "";
  for (let count; (count = fs.readSync(fd, buffer)) > 0;) {
    const parts = (rest + buffer.toString("utf8", 0, count)).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

function compilerOf(language) {
  const load = createRequire(MODULES + "/");
  if (language === "ts") {
    const ts = load("typescript");
    const compilerOptions = { target: "ES2022", module: "ESNext", verbatimModuleSyntax: true };
    return (source) => forCells(ts.transpileModule(source.replace(/^export\s+/gm, ""), { compilerOptions }).outputText);
  }
  if (language === "coffee") {
    const coffee = load("coffeescript");
    return (source) => coffee.compile(source, { bare: true });
  }
  if (language === "livescript") {
    const livescript = load("livescript");
    return (source) => livescript.compile(source, { bare: true, header: false });
  }
  return forCells;
}

function forCells(source) {
  const named = (names) => names.replace(/\bas\b/g, ":");
  return source
    .replace(/^import\s+\*\s+as\s+(\w+)\s+from\s+(['"][^'"]+['"])\s*;?/gm, "var $1 = require($2);")
    .replace(/^import\s+(\w+)\s*,?\s*(\{[^}]*\})?\s*from\s+(['"][^'"]+['"])\s*;?/gm, (_, whole, names, module) =>
      `var ${whole} = require(${module});` + (names ? `var ${named(names)} = require(${module});` : ""))
    .replace(/^import\s+(\{[^}]*\})\s+from\s+(['"][^'"]+['"])\s*;?/gm, (_, names, module) =>
      `var ${named(names)} = require(${module});`)
    .replace(/^import\s+(['"][^'"]+['"])\s*;?/gm, "require($1);")
    .replace(/^export\s+(default\s+)?/gm, "")
    .replace(/^(?:const|let)(\s)/gm, "var$1")
    .replace(/^class\s+(\w+)/gm, "var $1 = class $1");
}

function scriptOf(code) {
  const options = { filename: `cell${number}` };
  try {
    return new vm.Script(code, options);
  } catch (error) {
    if (!/await is only valid/.test(error.message)) throw error;
    const global = code
      .replace(/^var\s+(?=\w+\s*=)/gm, "")
      .replace(/^var\s+(?=\{)([^=]*\}\s*=.*?);?$/gm, "($1);")
      .replace(/^(async\s+)?function(\*?)\s+(\w+)/gm, "globalThis.$3 = $1function$2 $3");
    return new vm.Script(`(async () => { ${global}\n})()`, options);
  }
}

function answer() {
  if (failure !== null) {
    const text = failure instanceof Error || (failure && failure.stack) ? String(failure.stack) : `Uncaught ${failure}`;
    console.error(text.split(/\n    at (?:new Script|Script\.|scriptOf|evaluate|compile )/)[0]);
  }
  fs.writeSync(answers, failure === null ? "ok\n" : "error\n");
  isBusy = false;
  failure = null;
}

function evaluate(path) {
  isBusy = true;
  number += 1;
  setImmediate(() => {}); // so that `beforeExit` comes even where the cell leaves nothing pending
  try {
    const result = scriptOf(compile(fs.readFileSync(path, "utf8"))).runInThisContext({ breakOnSigint: true });
    if (result && typeof result.then === "function") result.then(() => {}, (error) => { failure = error; });
  } catch (error) {
    failure = error === undefined ? new Error("undefined was thrown") : error;
  }
}

globalThis.require = createRequire(process.cwd() + "/cell.js");
globalThis.module = { exports: {} };
globalThis.exports = globalThis.module.exports;
process.on("uncaughtException", (error) => { failure = error ?? new Error("unknown"); });
process.on("SIGINT", () => { // a cell that only waits
  if (!isBusy) return;
  failure = new Error("Interrupted");
  for (const handle of process._getActiveHandles()) if (handle !== process.stdin && handle.close) handle.close();
  answer();
  next();
});
process.on("beforeExit", () => { if (isBusy) answer(); next(); });

function next() {
  const { value: path, done } = lines.next();
  if (done) process.exit(0);
  evaluate(path);
}

fs.writeSync(answers, "ready\n");
setImmediate(() => {});
