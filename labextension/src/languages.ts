/** What rooms of the gateway can run: asked for, tried, and installed. */

import type { ServerConnection } from "@jupyterlab/services";

import { FrameError } from "./errors.js";
import { EventStream } from "./inspector/event_stream.js";
import { Fields } from "./protocols/fields.js";
import { request, streamed, urlOf } from "./request.js";
import { newTicket } from "./tickets.js";

export interface ILanguage {
  /** What a request names it by. */
  readonly id: string;
  readonly name: string;
  readonly aliases: readonly string[];
  /** Whether a room has what it takes to run it. */
  readonly found: boolean;
  /** As its own toolchain says it. */
  readonly version: string;
  /** Whether state is kept from one run of a session to the next. */
  readonly session: boolean;
  /** Programs that a room lacks, those included that only sessions need. */
  readonly missing: readonly string[];
}

/** One language, and how it gets here. */
export interface ILanguageDetails {
  readonly hello: string;
  readonly command: string;
  readonly steps: readonly { readonly title: string; readonly command: string }[];
  /** Why the server cannot install it itself; empty where it can. */
  readonly obstacle: string;
}

/** What came of a first program. */
export interface ITrial {
  readonly isGood: boolean;
  /** From the request to its answer. */
  readonly totalMs: number;
  /** As the gateway measured the run. */
  readonly runMs: number | null;
  /** What was seen, where that is not what it should print. */
  readonly problem: string;
}

/** How an installation goes on; `done` and `failed` are the last. */
export type InstallEvent =
  | { readonly type: "step"; readonly number: number; readonly of: number; readonly title: string }
  | { readonly type: "output"; readonly text: string }
  | { readonly type: "done" }
  | {
      readonly type: "failed";
      readonly title: string;
      readonly exitCode: number;
      readonly output: string;
    };

const PROMISED = "Hello, World!";

export class LanguagesApi {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly now: () => number,
  ) {}

  async all(): Promise<readonly ILanguage[]> {
    const fields = Fields.of(await request(this.settings, "GET", ["api", "languages"]));
    return fields.children("languages").map((language) => ({
      id: language.text("id"),
      name: language.text("name"),
      aliases: language.texts("aliases"),
      found: language.flag("found"),
      version: language.text("version", ""),
      session: language.flag("session"),
      missing: language.texts("missing"),
    }));
  }

  async details(id: string): Promise<ILanguageDetails> {
    const fields = Fields.of(await request(this.settings, "GET", ["api", "languages", id]));
    return {
      hello: fields.text("hello"),
      command: fields.text("command"),
      steps: fields
        .children("steps")
        .map((step) => ({ title: step.text("title"), command: step.text("command") })),
      obstacle: fields.text("obstacle", ""),
    };
  }

  /** Runs a first program in a room of its own, as any client of the Engine would. */
  async test(id: string): Promise<ITrial> {
    const [{ hello }, { ticket }] = await Promise.all([this.details(id), newTicket(this.settings)]);
    const { fetch } = this.settings; // as a method of something else, browsers do not let it be called
    const beganMs = this.now();
    const answer = await fetch(urlOf(this.settings, "api", "v1", "execute"), {
      method: "POST",
      headers: { Authorization: `Bearer ${ticket}`, "Content-Type": "application/json" },
      body: JSON.stringify({ language: id, code: hello }),
      credentials: "omit",
    });
    const text = await answer.text();
    return trial(text, this.now() - beganMs);
  }

  /** Lets the server install a language, and tells of it; it goes on when nobody listens any more. */
  async *install(id: string): AsyncGenerator<InstallEvent> {
    const events = new EventStream();
    for await (const piece of streamed(this.settings, ["api", "languages", id, "install"])) {
      for (const { data } of events.feed(piece)) {
        const event = parseInstallEvent(data);
        if (event !== null) {
          yield event;
        }
      }
    }
  }
}

/** Reads what the Engine answered about a first program. */
export function trial(text: string, totalMs: number): ITrial {
  try {
    const fields = Fields.parse(text);
    if (fields.has("error")) {
      const problem = fields.text("message", fields.text("error"));
      return { isGood: false, totalMs, runMs: null, problem };
    }
    const stdout = fields.text("stdout");
    const isGood = fields.integer("exit_code") === 0 && stdout.trim() === PROMISED;
    const ended = fields.text("ended_by", "");
    const seen = [ended, fields.text("stderr", ""), stdout].filter((part) => part.trim() !== "");
    const runMs = Number.parseFloat(fields.text("execution_time", ""));
    return {
      isGood,
      totalMs,
      runMs: Number.isFinite(runMs) ? runMs : null,
      problem: isGood ? "" : seen.join("\n"),
    };
  } catch (error) {
    if (!(error instanceof FrameError)) {
      throw error;
    }
    return { isGood: false, totalMs, runMs: null, problem: text.slice(0, 500) };
  }
}

/** Reads an event; `null` for one of a later version. */
export function parseInstallEvent(text: string): InstallEvent | null {
  const fields = Fields.parse(text);
  const type = fields.text("type");
  switch (type) {
    case "step":
      return {
        type,
        number: fields.integer("number"),
        of: fields.integer("of"),
        title: fields.text("title"),
      };
    case "output":
      return { type, text: fields.text("text") };
    case "done":
      return { type };
    case "failed":
      return {
        type,
        title: fields.text("title"),
        exitCode: fields.integer("exit_code"),
        output: fields.text("output", ""),
      };
    default:
      return null;
  }
}
