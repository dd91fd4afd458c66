/** Numbers as people read them. Pure. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `1536` is "1.5 KiB". */
export function bytes(count: number): string {
  let value = count;
  let unit: string = UNITS[0];
  for (const next of UNITS.slice(1)) {
    if (value < 1024) {
      break;
    }
    value /= 1024;
    unit = next;
  }
  return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** How much of a limit is used, both in the limit's unit: "18 of 512 MiB". */
export function ofBytes(
  used: string | number,
  limit: number,
  of: (used: string, limit: string) => string,
): string {
  const written = bytes(limit);
  if (typeof used === "string") {
    return of(used, written);
  }
  const unit = written.slice(written.indexOf(" ") + 1);
  const inUnit = used / 1024 ** UNITS.findIndex((one) => one === unit);
  return of(short(inUnit), written);
}

/** `3725` is "1:02:05", `65` is "1:05"; what is below nothing is "0:00". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  const hours = Math.floor(whole / 3600);
  const [minutes = 0, rest = 0] = parts;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `0.4` is "0.4", `12.3` is "12": as many digits as tell something. */
export function short(value: number): string {
  return value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
}

/** Whatever it is, in one line of at most so many characters. */
export function oneLine(text: string, most: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = Array.from(line);
  return characters.length <= most ? line : `${characters.slice(0, most - 1).join("")}…`;
}
