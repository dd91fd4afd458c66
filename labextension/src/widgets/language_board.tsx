/** The language board: what runs here, whether it really does, and how to get what does not. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Button, HTMLSelect, InputGroup, ReactWidget, UseSignal } from "@jupyterlab/ui-components";
import * as React from "react";

import type { IInstallation, LanguageBoardModel } from "../language_board.js";
import type { ILanguage, ITrial } from "../languages.js";
import { duration } from "./timeline.js";

export interface ILanguageBoardOptions {
  readonly model: LanguageBoardModel;
  readonly trans: TranslationBundle;
  /** Says how a language is installed, and installs it where the server may. */
  readonly install: (language: ILanguage) => void;
}

const SHOWN = ["all", "found", "missing"] as const;
type Shown = (typeof SHOWN)[number];

export class LanguageBoard extends ReactWidget {
  constructor(private readonly options: ILanguageBoardOptions) {
    super();
    this.addClass("embedenv-Languages");
  }

  override dispose(): void {
    this.options.model.dispose();
    super.dispose();
  }

  protected override render(): React.ReactElement {
    return (
      <UseSignal signal={this.options.model.changed}>{() => <Board {...this.options} />}</UseSignal>
    );
  }
}

function Board(props: ILanguageBoardOptions): React.ReactElement {
  const { model, trans } = props;
  const [filter, setFilter] = React.useState("");
  const [shown, setShown] = React.useState<Shown>("all");
  const { languages, problem } = model;
  if (languages === null) {
    return (
      <p role="status" className="embedenv-hint">
        {problem === "" ? trans.__("A room is asked what it can run…") : problem}
      </p>
    );
  }
  const rows = languages.filter(
    (language) =>
      matches(language, filter) && (shown === "all" || language.found === (shown === "found")),
  );
  const found = languages.filter((language) => language.found).length;
  return (
    <>
      <div className="embedenv-Languages-bar">
        <InputGroup
          type="search"
          rightIcon="ui-components:search"
          placeholder={trans.__("Filter by name")}
          aria-label={trans.__("Filter by name")}
          value={filter}
          onChange={({ target }) => {
            if (target instanceof HTMLInputElement) {
              setFilter(target.value);
            }
          }}
        />
        <HTMLSelect
          aria-label={trans.__("Which are shown")}
          value={shown}
          onChange={({ target: { value } }) => {
            setShown(SHOWN.find((one) => one === value) ?? "all");
          }}
        >
          <option value="all">{trans.__("All languages")}</option>
          <option value="found">{trans.__("Those that run here")}</option>
          <option value="missing">{trans.__("Those that are missing")}</option>
        </HTMLSelect>
        <span role="status" className="embedenv-hint">
          {problem === ""
            ? trans.__("%1 of %2 run here; %3 shown.", found, languages.length, rows.length)
            : problem}
        </span>
      </div>
      <div className="embedenv-Languages-table" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{trans.__("Language")}</th>
              <th scope="col">{trans.__("Here")}</th>
              <th scope="col">{trans.__("State in sessions")}</th>
              <th scope="col">{trans.__("Self-test")}</th>
              <th scope="col">{trans.__("Installation")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((language) => (
              <Row key={language.id} {...props} language={language} />
            ))}
          </tbody>
        </table>
        {rows.length === 0 && (
          <p className="embedenv-hint">{trans.__("No language is like this.")}</p>
        )}
      </div>
    </>
  );
}

function matches({ aliases, id, name }: ILanguage, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  return [id, name, ...aliases].some((text) => text.toLowerCase().includes(wanted));
}

interface IRowProps extends ILanguageBoardOptions {
  readonly language: ILanguage;
}

function Row(props: IRowProps): React.ReactElement {
  const { install, language, model, trans } = props;
  const { aliases, found, id, missing, name, session, version } = language;
  const trial = model.trial(id);
  const installation = model.installation(id);
  return (
    <tr data-language={id}>
      <th scope="row">
        {name}
        <span className="embedenv-hint">{[id, ...aliases].join(", ")}</span>
      </th>
      <td>
        {found ? (
          version || trans.__("yes")
        ) : (
          <span className="embedenv-mod-missing">
            {trans.__("missing: %1", missing.join(", "))}
          </span>
        )}
      </td>
      <td>
        {session ? trans.__("kept") : found ? trans.__("files only") : ""}
        {found && missing.length > 0 && (
          <span className="embedenv-hint">{trans.__("sessions need %1", missing.join(", "))}</span>
        )}
      </td>
      <td>
        {found && (
          <Button
            className="jp-mod-styled"
            aria-label={trans.__("Run a first program in %1", name)}
            disabled={trial === "running"}
            onClick={() => void model.test(id)}
          >
            {trans.__("Test")}
          </Button>
        )}
        {trial !== undefined && <TrialText trial={trial} trans={trans} />}
      </td>
      <td>
        {(!found || missing.length > 0) && installation?.state !== "running" && (
          <Button
            className="jp-mod-styled"
            aria-label={trans.__("How %1 is installed", name)}
            onClick={() => {
              install(language);
            }}
          >
            {trans.__("Install…")}
          </Button>
        )}
        {installation !== undefined && <InstallationText {...{ installation, trans }} />}
      </td>
    </tr>
  );
}

interface ITrialTextProps {
  readonly trial: ITrial | "running";
  readonly trans: TranslationBundle;
}

function TrialText({ trial, trans }: ITrialTextProps): React.ReactElement {
  if (trial === "running") {
    return <span role="status">{trans.__("Running…")}</span>;
  }
  if (!trial.isGood) {
    return (
      <span role="status" className="embedenv-mod-failed">
        {trans.__("✗ failed")}
        <pre>{trial.problem}</pre>
      </span>
    );
  }
  return (
    <span role="status" className="embedenv-mod-good">
      {trial.runMs === null
        ? trans.__("✓ %1", duration(trial.totalMs, trans))
        : trans.__(
            "✓ %1 (program: %2)",
            duration(trial.totalMs, trans),
            duration(trial.runMs, trans),
          )}
    </span>
  );
}

interface IInstallationTextProps {
  readonly installation: IInstallation;
  readonly trans: TranslationBundle;
}

function InstallationText({ installation, trans }: IInstallationTextProps): React.ReactElement {
  const { of, output, state, step, title } = installation;
  const texts = {
    running: trans.__("Step %1 of %2: %3", step, of, title),
    done: trans.__("✓ installed"),
    failed: trans.__("✗ not installed: %1", title),
  };
  return (
    <div className={`embedenv-Installation embedenv-mod-${state}`}>
      {state === "running" && (
        <progress
          aria-label={trans.__("Installation")}
          max={Math.max(1, of)}
          value={Math.max(0, step - 1)}
        />
      )}
      <span role="status">{texts[state]}</span>
      {output !== "" && (
        <details open={state === "failed"}>
          <summary>{trans.__("What it printed")}</summary>
          <pre tabIndex={0}>{output}</pre>
        </details>
      )}
    </div>
  );
}
