/** Reads Server-Sent Events out of pieces of text (HTML Living Standard, section 9.2). Pure. */

export interface IServerEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string;
}

export class EventStream {
  private rest = "";
  private name = "";
  private data: string[] = [];
  private id = "";

  /** Takes in a piece, cut anywhere; returns the events that are complete by it. */
  feed(piece: string): readonly IServerEvent[] {
    const text = this.rest + piece;
    // A carriage return at the end may have its line feed in the next piece.
    const isCut = text.endsWith("\r");
    const lines = (isCut ? text.slice(0, -1) : text).split(/\r\n|\r|\n/);
    this.rest = `${lines.pop() ?? ""}${isCut ? "\r" : ""}`;
    return lines.flatMap((line) => this.line(line));
  }

  private line(line: string): IServerEvent[] {
    if (line === "") {
      const { data, id } = this;
      const name = this.name === "" ? "message" : this.name;
      this.name = "";
      this.data = [];
      return data.length === 0 ? [] : [{ name, data: data.join("\n"), id }];
    }
    const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === "event") {
      this.name = value;
    } else if (field === "data") {
      this.data.push(value);
    } else if (field === "id") {
      this.id = value;
    }
    return [];
  }
}
