/** Reads the fields of a JSON object from outside: each has the type that is asked for, or a `FrameError` names it. */

import { FrameError } from "../errors.js";

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One object of a frame. A field that is missing or `null` takes the value that stands for it. */
export class Fields {
  private constructor(private readonly values: Record<string, unknown>) {}

  /** Reads a frame; throws a `FrameError` for what is no JSON object. */
  static parse(text: string): Fields {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new FrameError("not JSON");
    }
    if (!isObject(value)) {
      throw new FrameError("not a JSON object");
    }
    return new Fields(value);
  }

  has(name: string): boolean {
    return this.values[name] !== undefined && this.values[name] !== null;
  }

  text<T>(name: string, otherwise: T): string | T;
  text(name: string): string;
  text(name: string, ...otherwise: readonly unknown[]): unknown {
    return this.read(name, "a text", (value) => typeof value === "string", otherwise);
  }

  number<T>(name: string, otherwise: T): number | T;
  number(name: string): number;
  number(name: string, ...otherwise: readonly unknown[]): unknown {
    return this.read(name, "a number", (value) => typeof value === "number", otherwise);
  }

  integer<T>(name: string, otherwise: T): number | T;
  integer(name: string): number;
  integer(name: string, ...otherwise: readonly unknown[]): unknown {
    return this.read(name, "an integer", (value) => Number.isSafeInteger(value), otherwise);
  }

  flag(name: string): boolean {
    return (
      this.read(name, "true or false", (value) => typeof value === "boolean", [false]) === true
    );
  }

  texts(name: string): readonly string[] {
    const values = this.has(name) ? this.values[name] : [];
    if (!Array.isArray(values) || !values.every((value) => typeof value === "string")) {
      throw new FrameError(`"${name}" is not a list of texts`);
    }
    return values;
  }

  object(name: string): Readonly<Record<string, unknown>> {
    const value = this.values[name];
    if (!isObject(value)) {
      throw new FrameError(`"${name}" is not an object`);
    }
    return value;
  }

  private read(
    name: string,
    kind: string,
    fits: (value: unknown) => boolean,
    otherwise: readonly unknown[],
  ): unknown {
    if (!this.has(name)) {
      if (otherwise.length > 0) {
        return otherwise[0];
      }
      throw new FrameError(`"${name}" is missing`);
    }
    if (!fits(this.values[name])) {
      throw new FrameError(`"${name}" is not ${kind}`);
    }
    return this.values[name];
  }
}
