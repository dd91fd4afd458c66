/** What can be inspected: the published protocols, and the events of a room. Pure. */

import type { Mark } from "./timeline.js";

export const ENDPOINTS = ["engine", "rest", "stream", "spaces", "room"] as const;
export type EndpointId = (typeof ENDPOINTS)[number];

export type SampleId =
  | "auth"
  | "execute"
  | "executeOnce"
  | "session"
  | "question"
  | "stdin"
  | "interrupt"
  | "ping"
  | "init"
  | "join"
  | "write"
  | "shell"
  | "list"
  | "hello"
  | "look";

export interface ISample {
  readonly id: SampleId;
  readonly frame: Readonly<Record<string, unknown>>;
}

export interface IEndpoint {
  readonly id: EndpointId;
  /** A socket stays open; the others are one request each. */
  readonly transport: "socket" | "request" | "stream";
  /** Below `embedenv/`; a room's is told apart by its id. */
  readonly path: string;
  /** The first is what a connection begins with. */
  readonly samples: readonly ISample[];
  /** What a frame means for the times that are shown. */
  mark(direction: "in" | "out", frame: Readonly<Record<string, unknown>>): Mark;
}

const HELLO_CODE = 'print("Hello from the wire")';
const SLOW_CODE =
  "import time\nfor number in range(5):\n    print(number, flush=True)\n    time.sleep(0.2)";

const execute = (more: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  action: "execute",
  language: "python",
  api_key: "{{API_KEY}}",
  ...more,
});

const command = (inner: Readonly<Record<string, unknown>>, more = {}): Record<string, unknown> => ({
  type: "cmd",
  project_name: "unified_workspace",
  command: inner,
  ...more,
});

const ENGINE: IEndpoint = {
  id: "engine",
  transport: "socket",
  path: "ws",
  samples: [
    { id: "execute", frame: execute({ id: "run-1", stream: true, code: SLOW_CODE }) },
    { id: "executeOnce", frame: execute({ id: "run-2", code: HELLO_CODE }) },
    { id: "auth", frame: { action: "auth", api_key: "{{API_KEY}}" } },
    {
      id: "question",
      frame: execute({ id: "run-3", stream: true, code: 'print("Hello", input("name? "))' }),
    },
    { id: "stdin", frame: { action: "stdin", id: "run-3", data: "Ada\n" } },
    { id: "interrupt", frame: { action: "signal", id: "run-1", signal: "INT" } },
    {
      id: "session",
      frame: execute({ id: "run-4", stream: true, session: "wire", code: "x = 1" }),
    },
    { id: "ping", frame: { action: "ping", id: "1" } },
  ],
  mark: engineMark,
};

const REST: IEndpoint = {
  id: "rest",
  transport: "request",
  path: "api/v1/execute",
  samples: [
    { id: "executeOnce", frame: { language: "python", code: HELLO_CODE, timeout: 10 } },
    { id: "session", frame: { language: "python", code: "x = 1", session: "wire" } },
  ],
  mark: (direction) => (direction === "out" ? "submit" : "end"),
};

const STREAM: IEndpoint = {
  id: "stream",
  transport: "stream",
  path: "api/v1/execute",
  samples: [
    { id: "execute", frame: { language: "python", code: SLOW_CODE, timeout: 10 } },
    { id: "executeOnce", frame: { language: "python", code: HELLO_CODE } },
  ],
  mark: (direction, frame) => (direction === "out" ? "submit" : engineMark(direction, frame)),
};

const SPACES: IEndpoint = {
  id: "spaces",
  transport: "socket",
  path: "ws/spaces/defoult/",
  samples: [
    {
      id: "init",
      frame: { type: "init", public_key: "{{PUBLIC_KEY}}", secret_key: "{{SECRET_KEY}}" },
    },
    {
      id: "join",
      frame: { type: "join", join: "{{JOIN_KEY}}", user: "inspector", color: "#6366f1" },
    },
    {
      id: "write",
      frame: command({ type: "write" }, { path: "project/main.py", content: `${HELLO_CODE}\n` }),
    },
    {
      id: "shell",
      frame: command({ type: "shell", command: "cd project && python3 -u main.py" }),
    },
    { id: "list", frame: command({ type: "shell", command: "ls -la" }) },
    { id: "interrupt", frame: command({ type: "shell", command: "Ctrl+C" }) },
  ],
  mark: spacesMark,
};

const ROOM: IEndpoint = {
  id: "room",
  transport: "socket",
  path: "",
  samples: [
    { id: "hello", frame: { type: "hello", user: "inspector", color: "#6366f1", resume: 0 } },
    { id: "ping", frame: { type: "ping", id: "1" } },
    { id: "look", frame: { type: "presence", where: { kind: "file", path: "main.py" } } },
  ],
  mark: roomMark,
};

const ALL: Readonly<Record<EndpointId, IEndpoint>> = {
  engine: ENGINE,
  rest: REST,
  stream: STREAM,
  spaces: SPACES,
  room: ROOM,
};

export function endpoint(id: EndpointId): IEndpoint {
  return ALL[id];
}

function engineMark(direction: "in" | "out", frame: Readonly<Record<string, unknown>>): Mark {
  if (direction === "out") {
    switch (frame["action"]) {
      case "auth":
        return "hello";
      case "execute":
        return "submit";
      default:
        return null;
    }
  }
  switch (frame["type"]) {
    case "authenticated":
      return "welcome";
    case "accepted":
      return "accepted";
    case "stdout":
    case "stderr":
    case "display":
    case "prompt":
      return "output";
    case "result":
    case "error":
    case undefined: // the one answer to a request without a stream
      return "end";
    default:
      return null;
  }
}

function spacesMark(direction: "in" | "out", frame: Readonly<Record<string, unknown>>): Mark {
  const { type } = frame;
  if (direction === "out") {
    if (type === "init" || type === "join") {
      return "hello";
    }
    const inner: unknown = frame["command"];
    const isShell =
      typeof inner === "object" && inner !== null && "type" in inner && inner.type === "shell";
    return isShell && !("command" in inner && inner.command === "Ctrl+C") ? "submit" : null;
  }
  switch (type) {
    case "init":
    case "join":
      return "welcome";
    case "terminal-data":
      return "output";
    case "terminal-data-end":
      return "end";
    default:
      return null;
  }
}

function roomMark(direction: "in" | "out", frame: Readonly<Record<string, unknown>>): Mark {
  if (direction === "out") {
    return frame["type"] === "hello" ? "hello" : null;
  }
  switch (frame["event"]) {
    case "run-started":
      return "submit";
    case "output":
      return "output";
    case "run-ended":
      return "end";
    default:
      return frame["type"] === "hello" ? "welcome" : null;
  }
}
