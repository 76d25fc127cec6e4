/** JSON from an untrusted file, read key by key with the type and range each value must have. */

import { BundleError, firstLine } from "../errors.ts";

/** No control characters, no format characters, no space but the ordinary one. */
const PRINTABLE = /^(?:[^\p{C}\p{Z}]| )+$/u;

/** Readers of tagged objects, by kind. */
export type Kinds<T> = Readonly<Record<string, (value: JsonValue) => T>>;

/** What destructuring needs to know. */
interface Tuples {
  2: [JsonValue, JsonValue];
  3: [JsonValue, JsonValue, JsonValue];
  4: [JsonValue, JsonValue, JsonValue, JsonValue];
}

/**
 * A value and where it stands (`manifest.json, schedules[0].name`), for the error message.
 *
 * Every method throws a `BundleError` when the value is not what the method is named after.
 */
export class JsonValue {
  constructor(
    readonly value: unknown,
    readonly where: string,
  ) {}

  /** The value of a required key of an object; unknown keys are never looked at. */
  get(key: string): JsonValue {
    const members = this.object();
    if (!Object.hasOwn(members, key)) {
      throw new BundleError(`${this.where} lacks the key '${key}'; export the bundle again.`);
    }
    return this.at(key, members[key]);
  }

  /** The keys and values of an object. */
  members(): [key: string, value: JsonValue][] {
    return Object.entries(this.object()).map(([key, value]) => [key, this.at(key, value)]);
  }

  /** What `read` makes of the values of an object, by their keys. */
  mapOf<T>(read: (value: JsonValue) => T): Map<string, T> {
    return new Map(this.members().map(([key, value]) => [key, read(value)]));
  }

  /** The elements of an array with at least `minimum` and at most `maximum` of them. */
  elements(minimum = 0, maximum = Infinity): JsonValue[] {
    if (!Array.isArray(this.value)) this.refuse("must be an array");
    if (this.value.length < minimum) this.refuse(`must have at least ${minimum} element(s)`);
    if (this.value.length > maximum) this.refuse(`must have at most ${maximum} element(s)`);
    return this.value.map((v: unknown, i) => new JsonValue(v, `${this.where}[${i}]`));
  }

  /** The elements of an array with exactly `count` of them. */
  tupleOf<N extends number>(count: N): N extends keyof Tuples ? Tuples[N] : JsonValue[] {
    const elements = this.elements();
    if (elements.length !== count) this.refuse(`must have ${count} elements`);
    return elements as N extends keyof Tuples ? Tuples[N] : JsonValue[];
  }

  /** A string with at least one character, any character. */
  prose(): string {
    if (typeof this.value !== "string" || this.value === "") {
      this.refuse("must be a non-empty string");
    }
    return this.value;
  }

  /** A string that can be printed on one line: not empty, no control characters. */
  text(): string {
    const text = this.prose();
    if (!PRINTABLE.test(text)) this.refuse("must have printable characters only");
    return text;
  }

  /** One of the strings that this reader knows. */
  textAmong<T extends string>(...allowed: readonly T[]): T {
    const text = this.text();
    const known = allowed.find((value) => value === text);
    if (known === undefined) {
      this.refuse(`must be ${allowed.map((value) => `'${value}'`).join(" or ")}`);
    }
    return known;
  }

  /** A whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number {
    if (!Number.isInteger(this.value)) this.refuse("must be a whole number");
    const number = this.value as number;
    if (number < low || number > high) this.refuse(`must be from ${low} to ${high}`);
    return number;
  }

  /** True or false. */
  truth(): boolean {
    if (typeof this.value !== "boolean") this.refuse("must be true or false");
    return this.value;
  }

  /** A finite number. */
  number(): number {
    if (typeof this.value !== "number") this.refuse("must be a number");
    if (!Number.isFinite(this.value)) this.refuse("must be a finite number");
    return this.value;
  }

  /** A finite number above zero. */
  positiveNumber(): number {
    const number = this.number();
    if (number <= 0) this.refuse("must be above zero");
    return number;
  }

  /** A number from 0 to 1. */
  share(): number {
    const number = this.number();
    if (!(number >= 0 && number <= 1)) this.refuse("must be from 0 to 1");
    return number;
  }

  /** An object that says of itself what this reader takes for granted, key by key. */
  mustHave(described: Readonly<Record<string, unknown>>): void {
    for (const [key, value] of Object.entries(described)) {
      const said = JSON.stringify(value);
      if (JSON.stringify(this.get(key).value) !== said) {
        this.get(key).refuse(`must be ${said}, as this reader has it`);
      }
    }
  }

  /** An object with a `kind`, read by the reader of that. */
  ofKind<T>(kinds: Kinds<T>): T {
    return kinds[this.get("kind").textAmong(...Object.keys(kinds))]!(this);
  }

  /** What `read` makes of the value, or null where it is null. */
  orNull<T>(read: (value: JsonValue) => T): T | null {
    return this.value === null ? null : read(this);
  }

  /** Throw a `BundleError`: this value `reason` (a phrase such as "must be a number"). */
  refuse(reason: string): never {
    throw new BundleError(`${this.where} ${reason}; export the bundle again.`);
  }

  private object(): Record<string, unknown> {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) {
      this.refuse("must be an object");
    }
    return this.value as Record<string, unknown>;
  }

  private at(key: string, value: unknown): JsonValue {
    const separator = this.where.includes(",") ? "." : ", ";
    const start = key.slice(0, 40);
    const shown = PRINTABLE.test(start) ? start : JSON.stringify(start);
    return new JsonValue(value, `${this.where}${separator}${shown}`);
  }
}

/** Parse a JSON text in UTF-8; `BundleError` when it is not one. */
export function parseJson(data: Uint8Array, fileName: string): JsonValue {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (error) {
    throw new BundleError(
      `${fileName} is not valid JSON (${firstLine(error)}); export the bundle again.`,
    );
  }
  return new JsonValue(value, fileName);
}
