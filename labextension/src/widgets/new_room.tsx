/** What a new room shall be: the body of a dialog, whose Enter takes everything as it stands. */

import type { Dialog } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { HTMLSelect, ReactWidget } from "@jupyterlab/ui-components";
import * as React from "react";

import type { INewRoom, IWantedLimits } from "../api.js";
import type { IAccount } from "../protocols/rooms.js";
import type { IPreferences } from "../settings.js";

const MIB = 1 << 20;

/** What is opened once the room is there. */
export type StartWith = "notebook" | "terminal" | "nothing";

export interface INewRoomChoice {
  readonly room: INewRoom;
  readonly startWith: StartWith;
}

export interface INewRoomOptions {
  readonly trans: TranslationBundle;
  readonly defaults: IPreferences["newRoom"];
  /** What may be asked for; `null` where that is not known. */
  readonly account: IAccount | null;
  readonly hasTerminals: boolean;
  /** A name that no other room has. */
  readonly name: string;
}

export class NewRoomBody extends ReactWidget implements Dialog.IBodyWidget<INewRoomChoice> {
  private name: string;
  private startWith: StartWith;
  private memoryMiB: number;
  private cpuCores: number;
  private hasNetwork: boolean;

  constructor(private readonly options: INewRoomOptions) {
    super();
    this.addClass("embedenv-Form");
    const { account, defaults, name } = options;
    this.name = name;
    this.startWith = defaults.startKernel ? "notebook" : "nothing";
    this.memoryMiB = defaults.memoryMiB;
    this.cpuCores = defaults.cpuCores;
    this.hasNetwork = defaults.network && account?.network !== false;
  }

  getValue(): INewRoomChoice {
    const { account } = this.options;
    const limits: IWantedLimits = {
      ...(this.memoryMiB > 0 ? { memory_bytes: Math.round(this.memoryMiB * MIB) } : {}),
      ...(this.cpuCores > 0 ? { cpu_cores: this.cpuCores } : {}),
    };
    const isDecided = account !== null && this.hasNetwork !== account.network;
    return {
      room: {
        name: this.name.trim(),
        ...(Object.keys(limits).length > 0 ? { limits } : {}),
        ...(isDecided ? { network: this.hasNetwork } : {}),
      },
      startWith: this.startWith,
    };
  }

  protected override render(): React.ReactElement {
    const { account, hasTerminals, trans } = this.options;
    const most = account?.limits;
    return (
      <>
        <label>
          {trans.__("Name")}
          <input
            className="jp-mod-styled"
            defaultValue={this.name}
            maxLength={64}
            onChange={(event) => {
              this.name = event.target.value;
            }}
          />
        </label>
        <label>
          {trans.__("Start with")}
          <HTMLSelect
            defaultValue={this.startWith}
            onChange={(event) => {
              this.startWith = STARTS.find((one) => one === event.target.value) ?? "nothing";
            }}
          >
            <option value="notebook">{trans.__("A notebook (Python 3)")}</option>
            {hasTerminals && <option value="terminal">{trans.__("A terminal")}</option>}
            <option value="nothing">{trans.__("Nothing yet")}</option>
          </HTMLSelect>
        </label>
        <NumberField
          label={
            most?.memory_bytes == null
              ? trans.__("Memory (MiB)")
              : trans.__("Memory (MiB), %1 at most", Math.floor(most.memory_bytes / MIB))
          }
          value={this.memoryMiB}
          most={most?.memory_bytes == null ? null : Math.floor(most.memory_bytes / MIB)}
          step={64}
          change={(value) => {
            this.memoryMiB = value;
          }}
        />
        <NumberField
          label={
            most?.cpu_cores == null
              ? trans.__("CPU cores")
              : trans.__("CPU cores, %1 at most", most.cpu_cores)
          }
          value={this.cpuCores}
          most={most?.cpu_cores ?? null}
          step={0.25}
          change={(value) => {
            this.cpuCores = value;
          }}
        />
        <label className="embedenv-Form-check">
          <input
            type="checkbox"
            defaultChecked={this.hasNetwork}
            disabled={account?.network === false}
            onChange={(event) => {
              this.hasNetwork = event.target.checked;
            }}
          />
          {account?.network === false
            ? trans.__("Network (this server gives rooms none)")
            : trans.__("Network")}
        </label>
        {account !== null && (
          <p className="embedenv-hint">
            {account.credits === null
              ? trans.__("Sandbox: %1. Nothing is charged here.", account.tier)
              : trans.__("Sandbox: %1. You have %2 credits.", account.tier, account.credits)}
          </p>
        )}
      </>
    );
  }
}

const STARTS: readonly StartWith[] = ["notebook", "terminal", "nothing"];

interface INumberFieldProps {
  readonly label: string;
  readonly value: number;
  readonly most: number | null;
  readonly step: number;
  readonly change: (value: number) => void;
}

function NumberField(props: INumberFieldProps): React.ReactElement {
  const { change, label, most, step, value } = props;
  return (
    <label>
      {label}
      <input
        className="jp-mod-styled"
        type="number"
        min={0}
        step={step}
        defaultValue={value > 0 ? value : ""}
        {...(most === null ? {} : { max: most, placeholder: String(most) })}
        onChange={(event) => {
          const wanted = Number(event.target.value);
          change(Number.isFinite(wanted) ? Math.min(Math.max(wanted, 0), most ?? Infinity) : 0);
        }}
      />
    </label>
  );
}
