/**
 * The requests that have no answer yet, and the input that is on its way to them. Pure, as all here.
 *
 * Each input and signal has a number, by which the gateway acknowledges it, and knows it again. So what was
 * not acknowledged when a connection was cut is sent again over the next one, before what came later.
 */

import { UsageError } from "../errors.js";
import type { ControlFrame, IExecute } from "./engine.js";

/** How many requests of one connection a gateway lets wait. */
export const MAX_IN_FLIGHT = 64;
/** How many requests wait here, those in flight included. */
export const MAX_WAITING = 1000;
/** How much input of one run waits for the gateway to take it. */
export const MAX_CONTROLS = 10_000;
/** How much input of one run is on its way at once; a gateway remembers 1024 of a run. */
export const MAX_UNACKNOWLEDGED = 256;

export interface IRequest {
  readonly frame: IExecute;
  isSent: boolean;
  /** The gateway has taken it on; before, it takes no input for it. */
  isAccepted: boolean;
}

interface IInput {
  readonly frame: ControlFrame;
  readonly number: number;
  /** It was sent over a connection that was cut. */
  wasCut: boolean;
}

interface IControlled extends IRequest {
  /** Not sent, in order. */
  waiting: IInput[];
  /** Sent, and not acknowledged. */
  onTheWay: IInput[];
}

export class Requests {
  private readonly requests = new Map<string, IControlled>();
  private inputs = 0;

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
    const waits = { isSent: false, isAccepted: false, waiting: [], onTheWay: [] };
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
    if (request.waiting.length + request.onTheWay.length >= MAX_CONTROLS) {
      throw new UsageError(`${MAX_CONTROLS} frames of input wait already`);
    }
    this.inputs += 1;
    request.waiting.push({ frame, number: this.inputs, wasCut: false });
  }

  /** Drains what may be sent now, in order. */
  framesToSend(): (IExecute | ControlFrame)[] {
    const frames: (IExecute | ControlFrame)[] = [];
    let inFlight = [...this.requests.values()].filter((request) => request.isSent).length;
    for (const request of this.requests.values()) {
      if (!request.isSent && inFlight < MAX_IN_FLIGHT) {
        request.isSent = true;
        inFlight += 1;
        frames.push(request.frame);
      }
      if (request.isAccepted) {
        const sent = request.waiting.splice(0, MAX_UNACKNOWLEDGED - request.onTheWay.length);
        request.onTheWay.push(...sent);
        frames.push(...sent.map(({ frame, number }) => ({ ...frame, input: number })));
      }
    }
    return frames;
  }

  /** The gateway took an input, or refused it. */
  acknowledged(id: string, number: number): void {
    const request = this.requests.get(id);
    if (request !== undefined) {
      request.onTheWay = request.onTheWay.filter((input) => input.number !== number);
    }
  }

  /** The connection is gone: what was not acknowledged goes out again, before what came later. */
  lost(): void {
    for (const request of this.requests.values()) {
      for (const input of request.onTheWay) {
        input.wasCut = true;
      }
      request.waiting = [...request.onTheWay, ...request.waiting];
      request.onTheWay = [];
    }
  }

  /** The inputs of a run of which nobody knows whether they arrived before a cut. */
  unsure(id: string): ControlFrame[] {
    const waiting = this.requests.get(id)?.waiting ?? [];
    return waiting.filter((input) => input.wasCut).map((input) => input.frame);
  }
}
