/** What is sent next: a sample, or whatever somebody writes. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { HTMLSelect } from "@jupyterlab/ui-components";
import * as React from "react";

import { messageOf } from "../errors.js";
import type { SampleId } from "../inspector/endpoints.js";
import type { Inspector } from "../inspector/inspector.js";
import { useDomId } from "./dom_id.js";

export interface IComposerProps {
  readonly inspector: Inspector;
  readonly trans: TranslationBundle;
  readonly send: () => void;
}

export function Composer({ inspector, send, trans }: IComposerProps): React.ReactElement {
  const id = useDomId();
  const { draft, endpoint } = inspector;
  return (
    <div className="embedenv-Composer">
      <div className="embedenv-Composer-bar">
        <label htmlFor={id}>{trans.__("Next frame")}</label>
        <HTMLSelect
          aria-label={trans.__("Take a sample")}
          value=""
          onChange={({ target: { value } }) => {
            const sample = endpoint.samples.find((one) => one.id === value);
            if (sample !== undefined) {
              inspector.takeSample(sample.id);
            }
          }}
        >
          <option value="">{trans.__("Take a sample…")}</option>
          {endpoint.samples.map((sample) => (
            <option key={sample.id} value={sample.id}>
              {sampleText(sample.id, trans)}
            </option>
          ))}
        </HTMLSelect>
        <span className="embedenv-hint">{jsonProblem(draft, trans)}</span>
      </div>
      <textarea
        id={id}
        className="jp-mod-styled"
        value={draft}
        spellCheck={false}
        rows={8}
        aria-keyshortcuts="Shift+Enter"
        onChange={({ target: { value } }) => {
          inspector.write(value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && event.shiftKey) {
            event.preventDefault();
            send();
          }
        }}
      />
    </div>
  );
}

/** Why a text is no JSON; it may be sent all the same, to see what becomes of it. */
function jsonProblem(text: string, trans: TranslationBundle): string {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return trans.__("No JSON: %1", messageOf(error));
  }
}

function sampleText(id: SampleId, trans: TranslationBundle): string {
  switch (id) {
    case "auth":
      return trans.__("Say who pays");
    case "execute":
      return trans.__("Run code, and stream what it prints");
    case "executeOnce":
      return trans.__("Run code, with one answer");
    case "session":
      return trans.__("Run code in a session that keeps its state");
    case "question":
      return trans.__("Run code that asks for input");
    case "stdin":
      return trans.__("Give it input");
    case "interrupt":
      return trans.__("Interrupt what runs");
    case "ping":
      return trans.__("Ping");
    case "init":
      return trans.__("Open a room");
    case "join":
      return trans.__("Join a room");
    case "write":
      return trans.__("Write a file");
    case "shell":
      return trans.__("Run the file in the shell");
    case "list":
      return trans.__("List files in the shell");
    case "hello":
      return trans.__("Say hello, and ask for all that happened");
    case "look":
      return trans.__("Tell what you look at");
    default:
      return id satisfies never;
  }
}
