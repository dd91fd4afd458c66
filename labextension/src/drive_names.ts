/** Which drive is which room: kept over a reload, so that JupyterLab finds the files that were open. */

export class DriveNames {
  private readonly key: string;

  constructor(
    baseUrl: string,
    private readonly storage: Storage,
  ) {
    this.key = `embedenv-jupyter:drives:${baseUrl}`;
  }

  /** The names of drives, by the ids of their rooms. */
  all(): ReadonlyMap<string, string> {
    try {
      const kept: unknown = JSON.parse(this.storage.getItem(this.key) ?? "{}");
      const pairs = typeof kept === "object" && kept !== null ? Object.entries(kept) : [];
      return new Map(pairs.map(([id, name]) => [id, String(name)]));
    } catch {
      return new Map();
    }
  }

  /**
   * The name of a room's drive, which stays while the room is there: `Room-` and what the room is called,
   * where that does not begin with it.
   */
  nameFor(roomId: string, roomName: string): string {
    const names = this.all();
    const known = names.get(roomId);
    if (known !== undefined) {
      return known;
    }
    const taken = new Set(names.values());
    const called = spelled(roomName);
    const plain = called.startsWith("Room-") ? called : `Room-${called}`;
    const name = taken.has(plain) ? `${plain}-${roomId.slice(0, 8)}` : plain;
    this.write(new Map([...names, [roomId, name]]));
    return name;
  }

  /** Keeps the names of these rooms only. */
  keep(roomIds: ReadonlySet<string>): void {
    const names = this.all();
    const kept = [...names].filter(([id]) => roomIds.has(id));
    if (kept.length < names.size) {
      this.write(new Map(kept));
    }
  }

  private write(names: ReadonlyMap<string, string>): void {
    try {
      this.storage.setItem(this.key, JSON.stringify(Object.fromEntries(names)));
    } catch {
      // A browser may refuse to keep anything; the names hold until the page is left.
    }
  }
}

/** What of a name can stand before the colon of a path. */
function spelled(name: string): string {
  return name
    .replace(/[\s:/\\?#%\p{Cc}]+/gu, "-")
    .replace(/^[-.]+|-+$/g, "")
    .slice(0, 64);
}
