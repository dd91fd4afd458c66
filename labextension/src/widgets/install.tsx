/** How a language is installed: the body of a dialog. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { ReactWidget } from "@jupyterlab/ui-components";
import * as React from "react";

import type { ILanguageDetails } from "../languages.js";

export class InstallBody extends ReactWidget {
  constructor(
    private readonly details: ILanguageDetails,
    private readonly trans: TranslationBundle,
  ) {
    super();
    this.addClass("embedenv-Install");
  }

  protected override render(): React.ReactElement {
    const { command, obstacle, steps } = this.details;
    const { trans } = this;
    return (
      <>
        <p>
          {obstacle === ""
            ? trans.__("The server can do this now, as root on its machine:")
            : trans.__("This server cannot do it itself: %1", obstacle)}
        </p>
        {obstacle !== "" && <p>{trans.__("Run this as root on the machine of the server:")}</p>}
        <pre tabIndex={0}>{command}</pre>
        <details>
          <summary>{trans._n("It is %1 step", "It is %1 steps", steps.length)}</summary>
          <ol>
            {steps.map((step) => (
              <li key={step.title}>
                {step.title}
                <pre tabIndex={0}>{step.command}</pre>
              </li>
            ))}
          </ol>
        </details>
      </>
    );
  }
}
