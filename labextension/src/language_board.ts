/** What the language board knows: the languages, what came of trying them, and how installations go on. */

import type { ISignal } from "@lumino/signaling";
import { Signal } from "@lumino/signaling";

import { messageOf } from "./errors.js";
import type {
  ILanguage,
  ILanguageDetails,
  InstallEvent,
  ITrial,
  LanguagesApi,
} from "./languages.js";

/** How an installation goes on, or went. */
export interface IInstallation {
  readonly state: "running" | "done" | "failed";
  readonly step: number;
  readonly of: number;
  readonly title: string;
  /** The end of what was printed. */
  readonly output: string;
}

const KEPT_CHARS = 20_000;

export class LanguageBoardModel {
  languages: readonly ILanguage[] | null = null;
  /** Why the list could not be had. */
  problem = "";
  private readonly trials = new Map<string, ITrial | "running">();
  private readonly installations = new Map<string, IInstallation>();
  private readonly changedSignal = new Signal<this, void>(this);
  private isTestingAllNow = false;

  constructor(private readonly api: LanguagesApi) {}

  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  get isTestingAll(): boolean {
    return this.isTestingAllNow;
  }

  trial(id: string): ITrial | "running" | undefined {
    return this.trials.get(id);
  }

  installation(id: string): IInstallation | undefined {
    return this.installations.get(id);
  }

  async details(id: string): Promise<ILanguageDetails> {
    return this.api.details(id);
  }

  /** Asks the gateway anew; never rejects. */
  async refresh(): Promise<void> {
    this.problem = "";
    this.changedSignal.emit();
    try {
      this.languages = await this.api.all();
    } catch (error) {
      this.problem = messageOf(error);
    }
    this.changedSignal.emit();
  }

  /** Runs a first program; never rejects. */
  async test(id: string): Promise<void> {
    if (this.trials.get(id) === "running") {
      return;
    }
    this.trials.set(id, "running");
    this.changedSignal.emit();
    let trial: ITrial;
    try {
      trial = await this.api.test(id);
    } catch (error) {
      trial = { isGood: false, totalMs: 0, runMs: null, problem: messageOf(error) };
    }
    this.trials.set(id, trial);
    this.changedSignal.emit();
  }

  /** Tries all that are there, one after another, until it is told to stop. */
  async testAll(): Promise<void> {
    if (this.isTestingAllNow) {
      return;
    }
    this.isTestingAllNow = true;
    for (const { found, id } of this.languages ?? []) {
      if (!this.isTestingAll) {
        break;
      }
      if (found) {
        await this.test(id);
      }
    }
    this.stopTesting();
  }

  stopTesting(): void {
    this.isTestingAllNow = false;
    this.changedSignal.emit();
  }

  /** Lets the server install a language; never rejects. */
  async install(id: string): Promise<void> {
    if (this.installations.get(id)?.state === "running") {
      return;
    }
    this.installed(id, { state: "running", step: 0, of: 0, title: "", output: "" });
    try {
      for await (const event of this.api.install(id)) {
        this.heard(id, event);
      }
      if (this.installations.get(id)?.state === "running") {
        this.heard(id, { type: "failed", title: "", exitCode: -1, output: "" });
      }
    } catch (error) {
      this.heard(id, { type: "failed", title: "", exitCode: -1, output: messageOf(error) });
    }
    await this.refresh();
  }

  dispose(): void {
    this.isTestingAllNow = false;
    Signal.clearData(this);
  }

  private heard(id: string, event: InstallEvent): void {
    const before = this.installations.get(id);
    if (before === undefined) {
      return;
    }
    switch (event.type) {
      case "step":
        this.installed(id, { ...before, step: event.number, of: event.of, title: event.title });
        break;
      case "output":
        this.installed(id, { ...before, output: (before.output + event.text).slice(-KEPT_CHARS) });
        break;
      case "done":
        this.installed(id, { ...before, state: "done" });
        break;
      case "failed":
        this.installed(id, {
          ...before,
          state: "failed",
          title: event.title === "" ? before.title : event.title,
          output: before.output === "" ? event.output : before.output,
        });
        break;
      default:
        event satisfies never;
    }
  }

  private installed(id: string, installation: IInstallation): void {
    this.installations.set(id, installation);
    this.changedSignal.emit();
  }
}
