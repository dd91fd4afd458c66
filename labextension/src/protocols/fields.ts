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
    return Fields.of(value);
  }

  /** Reads what was parsed already; throws a `FrameError` for what is no JSON object. */
  static of(value: unknown): Fields {
    if (!isObject(value)) {
      throw new FrameError("not a JSON object");
    }
    return new Fields(value);
  }

  /** The objects of a list from outside. */
  static list(value: unknown): readonly Fields[] {
    if (!Array.isArray(value)) {
      throw new FrameError("not a JSON list");
    }
    return value.map((one) => Fields.of(one));
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

  integers(name: string): readonly number[] {
    const values = this.has(name) ? this.values[name] : [];
    if (!Array.isArray(values) || !values.every((value) => Number.isSafeInteger(value))) {
      throw new FrameError(`"${name}" is not a list of integers`);
    }
    return values.map(Number);
  }

  /** The objects of a list; a list that is missing is empty. */
  children(name: string): readonly Fields[] {
    const values = this.has(name) ? this.values[name] : [];
    if (!Array.isArray(values) || !values.every(isObject)) {
      throw new FrameError(`"${name}" is not a list of objects`);
    }
    return values.map((value) => new Fields(value));
  }

  /** An object; what is missing is an empty one. */
  child(name: string): Fields {
    return new Fields(this.has(name) ? this.object(name) : {});
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
