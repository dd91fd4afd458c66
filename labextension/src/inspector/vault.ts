/**
 * The secrets that go over a wire: what stands for each of them wherever somebody reads, edits or copies.
 *
 * A secret is known by the field that it came in, or because it was put here. From then on it is hidden in
 * every text, whatever field that is in. Nothing of this leaves the memory of the page.
 */

/** Fields whose text is for the other side only, with what stands for it. */
const FIELDS: ReadonlyMap<string, SecretName> = new Map([
  ["api_key", "API_KEY"],
  ["secret_key", "SECRET_KEY"],
  ["join", "JOIN_KEY"],
  ["token", "MEMBER_TOKEN"],
  ["password", "PASSWORD"],
]);
const NAMES = [
  "API_KEY",
  "PUBLIC_KEY",
  "SECRET_KEY",
  "JOIN_KEY",
  "MEMBER_TOKEN",
  "PASSWORD",
  "INPUT",
  "TOKEN",
] as const;
export type SecretName = (typeof NAMES)[number];

/** Tokens of the Spaces protocol are in a field that holds short ids elsewhere. */
const MEMBER_TOKEN = /^[\w-]{20,}$/;
/** What is shorter is hidden only where it is all of a text: it may be part of any word. */
const MIN_CHARS = 8;

/** What stands for a secret in a text: `{{API_KEY}}`, `{{JOIN_KEY_2}}`. The group is its name. */
export const PLACEHOLDER = new RegExp(`\\{\\{((?:${NAMES.join("|")})(?:_\\d+)?)\\}\\}`, "g");

/** A stretch of a text; the `text` of a secret is shown only when somebody asks. */
export interface ISegment {
  readonly text: string;
  /** What stands for it; `null` for text that is no secret. */
  readonly placeholder: string | null;
}

export class Vault {
  private readonly names = new Map<string, string>();
  private readonly values = new Map<string, string>();

  /** Lets a name stand for a text from now on. What is a secret stays hidden, also when the name is another's. */
  set(name: SecretName, text: string, isSecret = true): void {
    this.put(name, text, isSecret);
  }

  has(name: SecretName): boolean {
    return this.values.has(name);
  }

  /** Takes in the secrets of a frame; `more` are fields that hold one in this frame. */
  learn(text: string, more: readonly string[] = []): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return;
    }
    this.search(value, new Set(more));
  }

  /** Puts texts in the place of what stands for them, as JSON has them; other placeholders stay. */
  fill(text: string): string {
    return text.replace(PLACEHOLDER, (placeholder, name: string) => {
      const value = this.values.get(name);
      return value === undefined ? placeholder : escaped(value);
    });
  }

  /** The text as everybody may read it. */
  hide(text: string): string {
    return this.segments(text)
      .map((segment) => segment.placeholder ?? segment.text)
      .join("");
  }

  /** The text, cut where secrets begin and end. */
  segments(text: string): readonly ISegment[] {
    let segments: ISegment[] = [{ text, placeholder: null }];
    // The longest first: one secret may be part of another.
    const known = [...this.names].sort(([one], [other]) => other.length - one.length);
    for (const [secret, name] of known) {
      for (const form of forms(secret)) {
        segments = segments.flatMap((segment) =>
          segment.placeholder === null ? cut(segment.text, form, `{{${name}}}`) : [segment],
        );
      }
    }
    return segments;
  }

  private put(name: string, text: string, isSecret: boolean): void {
    this.values.set(name, text);
    if (isSecret && text !== "") {
      this.names.set(text, name);
    }
  }

  private search(value: unknown, more: ReadonlySet<string>): void {
    if (typeof value !== "object" || value === null) {
      return;
    }
    for (const [field, inner] of Object.entries(value)) {
      if (typeof inner !== "string") {
        this.search(inner, more);
        continue;
      }
      const name = nameOf(field, inner) ?? (more.has(field) ? "INPUT" : null);
      if (name !== null && inner !== "" && !this.names.has(inner)) {
        this.put(this.free(name), inner, true);
      }
    }
  }

  /** A name that stands for nothing yet. */
  private free(wanted: SecretName): string {
    let name: string = wanted;
    for (let count = 2; this.values.has(name); count += 1) {
      name = `${wanted}_${count}`;
    }
    return name;
  }
}

/** What the text of a field is called; `null` where it is no secret. */
function nameOf(field: string, text: string): SecretName | null {
  if (text.startsWith("{{")) {
    return null;
  }
  if (field === "member" && MEMBER_TOKEN.test(text)) {
    return "MEMBER_TOKEN";
  }
  return FIELDS.get(field.toLowerCase()) ?? null;
}

interface IForm {
  readonly before: string;
  readonly text: string;
  readonly after: string;
}

/** How a secret may stand in a text: as it is, in JSON, in an address. */
function forms(secret: string): readonly IForm[] {
  if (secret.length < MIN_CHARS) {
    return [{ before: '"', text: escaped(secret), after: '"' }];
  }
  const texts = new Set([secret, escaped(secret), encodeURIComponent(secret)]);
  return [...texts].map((text) => ({ before: "", text, after: "" }));
}

function cut(
  text: string,
  { before, text: secret, after }: IForm,
  placeholder: string,
): ISegment[] {
  const parts = text.split(`${before}${secret}${after}`);
  return parts.flatMap((part, index) => {
    const plain = `${index > 0 ? after : ""}${part}${index < parts.length - 1 ? before : ""}`;
    return [
      ...(index > 0 ? [{ text: secret, placeholder }] : []),
      ...(plain === "" ? [] : [{ text: plain, placeholder: null }]),
    ];
  });
}

/** As it stands between the quotes of JSON. */
function escaped(secret: string): string {
  return JSON.stringify(secret).slice(1, -1);
}
