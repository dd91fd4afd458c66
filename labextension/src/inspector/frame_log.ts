/** The frames of one connection, in and out, as far as memory is given to them. Pure: the clock is an argument. */

/** How many frames are kept. */
export const MAX_FRAMES = 1000;
/** How many characters they may have together. */
export const MAX_CHARS = 4 << 20;
/** Of a longer frame the rest is counted, and not kept. */
export const MAX_FRAME_CHARS = 256 << 10;

export interface IFrame {
  /** The first frame is number 1; numbers of dropped frames are gone. */
  readonly number: number;
  /** A note says what became of the connection. */
  readonly direction: "out" | "in" | "note";
  /** Since the connection was begun. */
  readonly atMs: number;
  /** Of HTTP: the first line and the headers; of an event stream: the name and the number of the event. */
  readonly head: string;
  readonly text: string;
  /** Of the whole message, in UTF-8. */
  readonly bytes: number;
  /** How many characters of its end are not kept. */
  readonly cutChars: number;
}

export class FrameLog {
  private kept: IFrame[] = [];
  private chars = 0;
  private count = 0;
  private droppedNow = 0;

  /** Oldest first. */
  get frames(): readonly IFrame[] {
    return this.kept;
  }

  /** How many frames are not kept any more. */
  get dropped(): number {
    return this.droppedNow;
  }

  get total(): number {
    return this.count;
  }

  add(direction: IFrame["direction"], atMs: number, text: string, head = ""): IFrame {
    this.count += 1;
    const frame = {
      number: this.count,
      direction,
      atMs,
      head,
      text: text.slice(0, MAX_FRAME_CHARS),
      bytes: new TextEncoder().encode(text).length,
      cutChars: Math.max(0, text.length - MAX_FRAME_CHARS),
    };
    this.kept = [...this.kept, frame];
    this.chars += frame.text.length;
    while (this.kept.length > MAX_FRAMES || this.chars > MAX_CHARS) {
      const oldest = this.kept[0];
      this.chars -= oldest?.text.length ?? 0;
      this.kept = this.kept.slice(1);
      this.droppedNow += 1;
    }
    return frame;
  }

  clear(): void {
    this.kept = [];
    this.chars = 0;
    this.count = 0;
    this.droppedNow = 0;
  }
}

/** JSON with line breaks; anything else as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
