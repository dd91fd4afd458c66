/** Whom a link lets in, and for how long: the body of a dialog. */

import type { Dialog } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { HTMLSelect, ReactWidget } from "@jupyterlab/ui-components";
import * as React from "react";

import type { SharedRole } from "../roles.js";
import { roleText, SHARED_ROLES } from "../roles.js";

const HOUR_S = 3600;
const LIVES_S = [HOUR_S, 24 * HOUR_S, 7 * 24 * HOUR_S, 0];

export interface IShare {
  readonly role: SharedRole;
  /** `null`: as long as the room. */
  readonly expiresS: number | null;
}

export class ShareBody extends ReactWidget implements Dialog.IBodyWidget<IShare> {
  private role: SharedRole = "run";
  private lifeS = 24 * HOUR_S;

  constructor(private readonly trans: TranslationBundle) {
    super();
    this.addClass("embedenv-Form");
  }

  getValue(): IShare {
    return { role: this.role, expiresS: this.lifeS === 0 ? null : this.lifeS };
  }

  protected override render(): React.ReactElement {
    const { trans } = this;
    const lives = [
      trans.__("One hour"),
      trans.__("One day"),
      trans.__("One week"),
      trans.__("As long as the room"),
    ];
    return (
      <>
        <label>
          {trans.__("Whoever has the link")}
          <HTMLSelect
            defaultValue={this.role}
            onChange={(event) => {
              this.role = SHARED_ROLES.find((one) => one === event.target.value) ?? "view";
            }}
          >
            {SHARED_ROLES.map((role) => (
              <option key={role} value={role}>
                {roleText(role, trans)}
              </option>
            ))}
          </HTMLSelect>
        </label>
        <label>
          {trans.__("The link is good for")}
          <HTMLSelect
            defaultValue={this.lifeS}
            onChange={(event) => {
              this.lifeS = Number(event.target.value);
            }}
          >
            {LIVES_S.map((life, index) => (
              <option key={life} value={life}>
                {lives[index]}
              </option>
            ))}
          </HTMLSelect>
        </label>
      </>
    );
  }
}
