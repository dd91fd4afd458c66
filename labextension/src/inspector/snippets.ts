/**
 * A conversation as a program that has it again: curl, Python, JavaScript. Pure.
 *
 * What goes in is what everybody may read: a placeholder such as `{{API_KEY}}` stands for each secret. In the
 * program it is taken from the environment, so that the secret is never copied.
 */

import { PLACEHOLDER } from "./vault.js";

export interface IConversationText {
  readonly transport: "socket" | "request" | "stream";
  readonly url: string;
  /** What was sent, in order, as JSON. */
  readonly sent: readonly string[];
}

export const SNIPPETS = ["curl", "python", "javascript"] as const;
export type SnippetId = (typeof SNIPPETS)[number];

/** Writes the program; `null` where it cannot be: curl has no conversations. */
export function snippet(id: SnippetId, conversation: IConversationText): string | null {
  const isSocket = conversation.transport === "socket";
  switch (id) {
    case "curl":
      return isSocket ? null : curl(conversation);
    case "python":
      return isSocket ? pythonSocket(conversation) : pythonRequest(conversation);
    case "javascript":
      return isSocket ? scriptSocket(conversation) : scriptRequest(conversation);
    default:
      return id satisfies never;
  }
}

/** The run of an `execute` frame by REST, which curl can ask for; `null` for other frames. */
export function executeAsRequest(frame: string, url: string): IConversationText | null {
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || Reflect.get(value, "action") !== "execute") {
    return null;
  }
  const dropped = new Set(["action", "api_key", "id", "stream", "pty", "cell", "fresh"]);
  const body = Object.fromEntries(Object.entries(value).filter(([name]) => !dropped.has(name)));
  const isStream = Reflect.get(value, "stream") === true;
  return { transport: isStream ? "stream" : "request", url, sent: [JSON.stringify(body)] };
}

/** The names of the secrets that a text needs. */
export function secretsIn(texts: readonly string[]): readonly string[] {
  const names = texts.flatMap((text) => [...text.matchAll(PLACEHOLDER)].map((match) => match[1]));
  return [...new Set(names.filter((name) => name !== undefined))];
}

// curl

function curl({ sent, transport, url }: IConversationText): string {
  const lines = sent.map((body) => {
    const parts = [
      `curl ${transport === "stream" ? "--no-buffer " : ""}-X POST ${quoted(url)}`,
      '  -H "Authorization: Bearer $API_KEY"',
      "  -H 'Content-Type: application/json'",
      ...(transport === "stream" ? ["  -H 'Accept: text/event-stream'"] : []),
      `  --data-binary ${quoted(body)}`,
    ];
    return parts.join(" \\\n");
  });
  return `${["# Set API_KEY in the environment first: export API_KEY=…", ...lines].join("\n")}\n`;
}

/** For a POSIX shell; placeholders of the text are left to the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`.replace(PLACEHOLDER, "'\"$$$1\"'");
}

// Python

function pythonSocket({ sent, url }: IConversationText): string {
  return `# pip install websockets
import asyncio
import json
import os

import websockets

${pythonSecrets([url, ...sent])}
async def main():
    async with websockets.connect(${pythonText(url)}, max_size=None) as socket:
        async def send(frame):
            await socket.send(json.dumps(frame))

${sent.map((frame) => `        await send(${indented(pythonLiteral(frame), 8)})`).join("\n")}
        async for message in socket:  # ends with the connection
            print(json.loads(message))


asyncio.run(main())
`;
}

function pythonRequest({ sent, transport, url }: IConversationText): string {
  const isStream = transport === "stream";
  const read = isStream
    ? "        for line in answer:\n            print(line.decode(), end='')"
    : "        print(json.load(answer))";
  return `import json
import os
import urllib.request

${pythonSecrets(["{{API_KEY}}", url, ...sent])}
BODIES = [
${sent.map((body) => `    ${indented(pythonLiteral(body), 4)},`).join("\n")}
]

for body in BODIES:
    request = urllib.request.Request(
        ${pythonText(url)},
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + API_KEY,
            "Content-Type": "application/json",${isStream ? '\n            "Accept": "text/event-stream",' : ""}
        },
    )
    with urllib.request.urlopen(request) as answer:
${read}
`;
}

function pythonSecrets(texts: readonly string[]): string {
  const lines = secretsIn(texts).map((name) => `${name} = os.environ["${name}"]`);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** A text as Python reads it: JSON's way to write one is also Python's. */
function pythonText(text: string): string {
  return withSecrets(text, " + ");
}

function pythonLiteral(json: string): string {
  return literal(json, { none: "None", yes: "True", no: "False", joint: " + " });
}

// JavaScript

function scriptSocket({ sent, url }: IConversationText): string {
  return `${scriptSecrets([url, ...sent])}const socket = new WebSocket(${withSecrets(url, " + ")});
const send = (frame) => socket.send(JSON.stringify(frame));

socket.onopen = () => {
${sent.map((frame) => `  send(${indented(scriptLiteral(frame), 2)});`).join("\n")}
};
socket.onmessage = (event) => console.log(JSON.parse(event.data));
socket.onclose = (event) => console.log("closed", event.code, event.reason);
`;
}

function scriptRequest({ sent, transport, url }: IConversationText): string {
  const isStream = transport === "stream";
  const read = isStream
    ? `  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    console.log(piece);
  }`
    : "  console.log(await answer.json());";
  return `${scriptSecrets(["{{API_KEY}}", url, ...sent])}const bodies = [
${sent.map((body) => `  ${indented(scriptLiteral(body), 2)},`).join("\n")}
];

for (const body of bodies) {
  const answer = await fetch(${withSecrets(url, " + ")}, {
    method: "POST",
    headers: {
      Authorization: "Bearer " + API_KEY,
      "Content-Type": "application/json",${isStream ? '\n      Accept: "text/event-stream",' : ""}
    },
    body: JSON.stringify(body),
  });
${read}
}
`;
}

function scriptSecrets(texts: readonly string[]): string {
  const lines = secretsIn(texts).map(
    (name) => `const ${name} = process.env.${name}; // put it there`,
  );
  return lines.length === 0 ? "" : `${lines.join("\n")}\n\n`;
}

function scriptLiteral(json: string): string {
  return literal(json, { none: "null", yes: "true", no: "false", joint: " + " });
}

// Both

interface IWords {
  readonly none: string;
  readonly yes: string;
  readonly no: string;
  readonly joint: string;
}

function literal(json: string, words: IWords): string {
  try {
    return written(JSON.parse(json), words);
  } catch {
    return withSecrets(json, words.joint);
  }
}

function written(value: unknown, words: IWords): string {
  if (value === null) {
    return words.none;
  }
  if (typeof value === "boolean") {
    return value ? words.yes : words.no;
  }
  if (typeof value === "string") {
    return withSecrets(value, words.joint);
  }
  if (typeof value !== "object") {
    return JSON.stringify(value);
  }
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const items = Array.isArray(value)
    ? value.map((item) => written(item, words))
    : Object.entries(value).map(
        ([name, item]) => `${JSON.stringify(name)}: ${written(item, words)}`,
      );
  if (items.length === 0) {
    return `${open}${close}`;
  }
  return `${open}\n${items.map((item) => `  ${indented(item, 2)},\n`).join("")}${close}`;
}

/** A text with the variables that stand for its secrets. */
function withSecrets(text: string, joint: string): string {
  // Split at a group, every other part is one: the name of a secret.
  const parts = text
    .split(PLACEHOLDER)
    .map((part, index) => (index % 2 === 1 ? part : part === "" ? "" : JSON.stringify(part)))
    .filter((part) => part !== "");
  return parts.length === 0 ? '""' : parts.join(joint);
}

/** Moves all lines but the first to the right. */
function indented(text: string, by: number): string {
  return text.replaceAll("\n", `\n${" ".repeat(by)}`);
}
