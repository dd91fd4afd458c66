import { expect, test } from "@jest/globals";
import type { Contents } from "@jupyterlab/services";
import { ServerConnection } from "@jupyterlab/services";

import { isElsewhere, transfer } from "../src/transfer.js";

interface IStored {
  readonly type: string;
  readonly format?: string;
  readonly content?: unknown;
}

/** What is used of JupyterLab's contents, over two drives: the server's, and `Room:`. */
class Files {
  readonly at = new Map<string, IStored>();

  driveName(path: string): string {
    return path.startsWith("Room:") ? "Room" : "";
  }

  localPath(path: string): string {
    return path.replace(/^Room:/, "");
  }

  async get(path: string, options: { content?: boolean }): Promise<Partial<Contents.IModel>> {
    const found = this.at.get(path);
    if (found === undefined) {
      throw new ServerConnection.ResponseError(new Response("", { status: 404 }));
    }
    const name = path.split(/[:/]/).at(-1) ?? "";
    const inside = [...this.at.keys()].filter((each) => each.startsWith(`${path}/`));
    const content = found.type === "directory" ? inside.map((each) => ({ path: each })) : null;
    const model = { ...found, name, path, content: content ?? found.content };
    return Promise.resolve(
      (options.content ? model : { ...model, content: null }) as Contents.IModel,
    );
  }

  async save(path: string, model: IStored): Promise<void> {
    this.at.set(path, model);
    return Promise.resolve();
  }

  get manager(): Contents.IManager {
    return this as unknown as Contents.IManager;
  }
}

const never = (): Promise<boolean> => Promise.reject(new Error("nobody is to be asked"));

test("a file goes to another drive as bytes", async () => {
  const files = new Files();
  files.at.set("plot.png", { type: "file", format: "base64", content: "aGVsbG8=\n" });
  expect(await transfer(files.manager, ["plot.png"], "Room:", never)).toEqual(["Room:plot.png"]);
  expect(files.at.get("Room:plot.png")).toMatchObject({ format: "base64", content: "aGVsbG8=\n" });
});

test("a folder goes with what it holds, a notebook as a notebook", async () => {
  const files = new Files();
  const notebook = { type: "notebook", format: "json", content: { cells: [] } };
  files.at.set("Room:data", { type: "directory" });
  files.at.set("Room:data/one.ipynb", notebook);
  await transfer(files.manager, ["Room:data"], "work", never);
  expect(files.at.get("work/data")).toMatchObject({ type: "directory" });
  expect(files.at.get("work/data/one.ipynb")).toEqual(notebook);
});

test("what is there is replaced only if somebody says so", async () => {
  const files = new Files();
  files.at.set("a.txt", { type: "file", format: "base64", content: "bmV3" });
  files.at.set("Room:a.txt", { type: "file", format: "base64", content: "b2xk" });
  const asked: string[] = [];
  const refuse = (name: string): Promise<boolean> => {
    asked.push(name);
    return Promise.resolve(false);
  };
  expect(await transfer(files.manager, ["a.txt"], "Room:", refuse)).toEqual([]);
  expect(asked).toEqual(["a.txt"]);
  expect(files.at.get("Room:a.txt")).toMatchObject({ content: "b2xk" });
});

test("another drive is elsewhere, another folder is not", () => {
  const { manager } = new Files();
  expect(isElsewhere(manager, "a.txt", "Room:data")).toBe(true);
  expect(isElsewhere(manager, "Room:a.txt", "Room:data")).toBe(false);
});
