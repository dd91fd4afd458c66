/**
 * The requests that have no answer yet, and the input that is on its way to them. Pure, as all here.
 *
 * Input and signals have no acknowledgement of their own. A ping goes after them, and its pong says that
 * they arrived. What was not acknowledged when a connection was cut is sent again where twice does no
 * harm (`eof`, `resize`); the rest is reported as perhaps lost.
 */

import { UsageError } from "../errors.js";
import type { ControlFrame, IExecute, IPing } from "./engine.js";

/** How many requests of one connection a gateway lets wait. */
export const MAX_IN_FLIGHT = 64;
/** How many requests wait here, those in flight included. */
export const MAX_WAITING = 1000;
/** How much input of one run waits for the gateway to take it. */
export const MAX_CONTROLS = 10_000;

const PREFIX = "confirm-";

export interface IRequest {
  readonly frame: IExecute;
  isSent: boolean;
  /** The gateway has taken it on; before, it takes no input for it. */
  isAccepted: boolean;
}

interface IControlled extends IRequest {
  /** Not sent, in order. */
  controls: ControlFrame[];
  /** Sent, and not known to have arrived. */
  unconfirmed: ControlFrame[];
}

interface IConfirming {
  readonly id: string;
  /** How many frames of each run went before the ping. */
  readonly upTo: ReadonlyMap<string, number>;
}

export class Requests {
  private readonly requests = new Map<string, IControlled>();
  private confirming: IConfirming | null = null;
  private confirmations = 0;

  get(id: string): IRequest | undefined {
    return this.requests.get(id);
  }

  /** All of them as they are now: they may be ended while they are gone through. */
  all(): readonly (readonly [string, IRequest])[] {
    return [...this.requests];
  }

  delete(id: string): void {
    this.requests.delete(id);
  }

  /** Takes on a request; throws a `UsageError` for what no gateway would take. */
  add(frame: IExecute): void {
    if (frame.language === "") {
      throw new UsageError("the language has no name");
    }
    if (this.requests.has(frame.id)) {
      throw new UsageError(`a run with the id "${frame.id}" is not answered yet`);
    }
    if (this.requests.size >= MAX_WAITING) {
      throw new UsageError(`${MAX_WAITING} runs wait already`);
    }
    const waits = { isSent: false, isAccepted: false, controls: [], unconfirmed: [] };
    this.requests.set(frame.id, { frame, ...waits });
  }

  /** Takes on a control frame; one for a run that has ended is dropped. */
  control(frame: ControlFrame): void {
    const request = this.requests.get(frame.id);
    if (request === undefined) {
      return;
    }
    if (!request.frame.stream) {
      throw new UsageError("a run without a stream takes neither input nor signals");
    }
    if (request.controls.length + request.unconfirmed.length >= MAX_CONTROLS) {
      throw new UsageError(`${MAX_CONTROLS} frames of input wait already`);
    }
    request.controls.push(frame);
  }

  /** Drains what may be sent now, in order. */
  framesToSend(): (IExecute | ControlFrame | IPing)[] {
    const frames: (IExecute | ControlFrame | IPing)[] = [];
    let inFlight = [...this.requests.values()].filter((request) => request.isSent).length;
    for (const request of this.requests.values()) {
      if (!request.isSent && inFlight < MAX_IN_FLIGHT) {
        request.isSent = true;
        inFlight += 1;
        frames.push(request.frame);
      }
      if (request.isAccepted) {
        frames.push(...request.controls);
        request.unconfirmed.push(...request.controls);
        request.controls = [];
      }
    }
    const ping = this.confirm();
    return ping === null ? frames : [...frames, ping];
  }

  /** Takes in a pong; false for one that answers a ping of somebody else. */
  confirmed(id: string): boolean {
    if (this.confirming?.id !== id) {
      return id.startsWith(PREFIX);
    }
    for (const [runId, count] of this.confirming.upTo) {
      this.requests.get(runId)?.unconfirmed.splice(0, count);
    }
    this.confirming = null;
    return true;
  }

  /** The connection is gone: returns what may have been lost with it, and keeps what is to be sent again. */
  lost(): ControlFrame[] {
    this.confirming = null;
    const uncertain: ControlFrame[] = [];
    for (const request of this.requests.values()) {
      const again = request.unconfirmed.filter(isHarmlessTwice);
      uncertain.push(...request.unconfirmed.filter((frame) => !isHarmlessTwice(frame)));
      request.controls = [...again, ...request.controls];
      request.unconfirmed = [];
    }
    return uncertain;
  }

  /** Asks whether what was sent has arrived, with one ping at a time. */
  private confirm(): IPing | null {
    const upTo = new Map<string, number>();
    for (const [id, request] of this.requests) {
      if (request.unconfirmed.length > 0) {
        upTo.set(id, request.unconfirmed.length);
      }
    }
    if (this.confirming !== null || upTo.size === 0) {
      return null;
    }
    this.confirmations += 1;
    this.confirming = { id: `${PREFIX}${this.confirmations}`, upTo };
    return { action: "ping", id: this.confirming.id };
  }
}

function isHarmlessTwice(frame: ControlFrame): boolean {
  return frame.action === "eof" || frame.action === "resize";
}
