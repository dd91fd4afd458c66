/** Who can come into a room: its join keys, with what can be done about each. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { deleteIcon, linkIcon, ReactWidget, refreshIcon } from "@jupyterlab/ui-components";
import * as React from "react";

import { messageOf } from "../errors.js";
import type { IJoinKey } from "../protocols/rooms.js";
import { roleText } from "../roles.js";
import { IconButton } from "./icon_button.js";

export interface IKeysOptions {
  readonly trans: TranslationBundle;
  readonly load: () => Promise<readonly IJoinKey[]>;
  readonly copy: (key: IJoinKey) => void;
  readonly rotate: (key: IJoinKey) => Promise<unknown>;
  readonly revoke: (key: IJoinKey) => Promise<unknown>;
}

export class KeysBody extends ReactWidget {
  constructor(private readonly options: IKeysOptions) {
    super();
    this.addClass("embedenv-Keys");
  }

  protected override render(): React.ReactElement {
    return <Keys {...this.options} />;
  }
}

function Keys({ copy, load, revoke, rotate, trans }: IKeysOptions): React.ReactElement {
  const [keys, setKeys] = React.useState<readonly IJoinKey[]>([]);
  const [problem, setProblem] = React.useState("");
  const list = React.useRef<HTMLUListElement>(null);
  const reload = React.useCallback(
    async (change: () => Promise<unknown>): Promise<void> => {
      try {
        await change();
        setKeys(await load());
        setProblem("");
        // The button that was pressed may be gone, and the keyboard would be nowhere.
        list.current?.focus();
      } catch (error) {
        setProblem(messageOf(error));
      }
    },
    [load],
  );
  React.useEffect(() => {
    void reload(() => Promise.resolve());
  }, [reload]);
  return (
    <>
      {problem !== "" && <p role="alert">{problem}</p>}
      {keys.length === 0 && problem === "" && <p>{trans.__("Nobody else can come in.")}</p>}
      <ul ref={list} tabIndex={-1} aria-label={trans.__("Join keys")}>
        {keys.map((key) => (
          <li key={key.join}>
            <code title={trans.__("The end of the key")}>…{key.join.slice(-4)}</code>
            <span>{roleText(key.role, trans)}</span>
            <span className="embedenv-hint">
              {key.expires_at === null
                ? trans.__("as long as the room")
                : trans.__("until %1", new Date(key.expires_at * 1000).toLocaleString())}
            </span>
            <IconButton
              icon={linkIcon}
              label={trans.__("Copy the link")}
              onClick={() => {
                copy(key);
              }}
            />
            <IconButton
              icon={refreshIcon}
              label={trans.__("Make another key; this one is no good any more")}
              onClick={() => void reload(() => rotate(key))}
            />
            <IconButton
              icon={deleteIcon}
              label={trans.__("Revoke; who came in with it is put out")}
              onClick={() => void reload(() => revoke(key))}
            />
          </li>
        ))}
      </ul>
    </>
  );
}
