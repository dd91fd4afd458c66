/** Which rooms this browser tab has entered, and as which member, so that a reload brings it back there. */

export interface IMemory {
  /** The tokens of members, by the ids of their rooms. */
  entered(): ReadonlyMap<string, string>;
  remember(roomId: string, token: string): void;
  forget(roomId: string): void;
}

/** Kept as long as the tab, and not shared with others: two tabs are two members. */
export class TabMemory implements IMemory {
  private readonly key: string;

  constructor(
    baseUrl: string,
    private readonly storage: Storage,
  ) {
    this.key = `embedenv-jupyter:${baseUrl}`;
  }

  entered(): ReadonlyMap<string, string> {
    try {
      const kept: unknown = JSON.parse(this.storage.getItem(this.key) ?? "{}");
      const pairs = typeof kept === "object" && kept !== null ? Object.entries(kept) : [];
      return new Map(pairs.map(([id, token]) => [id, String(token)]));
    } catch {
      return new Map();
    }
  }

  remember(roomId: string, token: string): void {
    this.write(new Map([...this.entered(), [roomId, token]]));
  }

  forget(roomId: string): void {
    const tokens = new Map(this.entered());
    if (tokens.delete(roomId)) {
      this.write(tokens);
    }
  }

  private write(tokens: ReadonlyMap<string, string>): void {
    try {
      this.storage.setItem(this.key, JSON.stringify(Object.fromEntries(tokens)));
    } catch {
      // A browser may refuse to keep anything; a reload is a new member then.
    }
  }
}
