/** Copies files and folders from one drive of JupyterLab to another, which JupyterLab itself does not do. */

import { PathExt } from "@jupyterlab/coreutils";
import type { Contents } from "@jupyterlab/services";
import { ServerConnection } from "@jupyterlab/services";

/** Asks whether a file that is there is to be replaced. */
export type AskToReplace = (name: string) => Promise<boolean>;

/** Copies into a folder; resolves to the paths of the copies. What is not to be replaced is left out. */
export async function transfer(
  contents: Contents.IManager,
  paths: readonly string[],
  folder: string,
  ask: AskToReplace,
): Promise<readonly string[]> {
  const copied: string[] = [];
  for (const path of paths) {
    const name = PathExt.basename(contents.localPath(path));
    const target = joined(folder, name);
    const model = await contents.get(path, { content: false });
    if (model.type === "directory") {
      await copyFolder(contents, path, target, ask);
      copied.push(target);
    } else if (await copyFile(contents, model, path, target, ask)) {
      copied.push(target);
    }
  }
  return copied;
}

/** Whether a path leads to another drive than a folder. */
export function isElsewhere(contents: Contents.IManager, path: string, folder: string): boolean {
  return contents.driveName(path) !== contents.driveName(folder);
}

async function copyFolder(
  contents: Contents.IManager,
  path: string,
  target: string,
  ask: AskToReplace,
): Promise<void> {
  if ((await typeAt(contents, target)) !== "directory") {
    await contents.save(target, { type: "directory" });
  }
  const listed = await contents.get(path, { content: true, type: "directory" });
  const entries: readonly Contents.IModel[] = Array.isArray(listed.content) ? listed.content : [];
  await transfer(
    contents,
    entries.map((entry) => entry.path),
    target,
    ask,
  );
}

async function copyFile(
  contents: Contents.IManager,
  { type, name }: Contents.IModel,
  path: string,
  target: string,
  ask: AskToReplace,
): Promise<boolean> {
  if ((await typeAt(contents, target)) !== null && !(await ask(name))) {
    return false;
  }
  const isNotebook = type === "notebook";
  const form = isNotebook ? { type } : { type: "file", format: "base64" as const };
  const loaded = await contents.get(path, { ...form, content: true });
  const { format } = loaded;
  const content: unknown = loaded.content;
  await contents.save(target, { type: form.type, format, content });
  return true;
}

async function typeAt(contents: Contents.IManager, path: string): Promise<string | null> {
  try {
    return (await contents.get(path, { content: false })).type;
  } catch (error) {
    if (error instanceof ServerConnection.ResponseError && error.response.status === 404) {
      return null;
    }
    throw error;
  }
}

function joined(folder: string, name: string): string {
  return folder === "" || folder.endsWith(":") || folder.endsWith("/")
    ? `${folder}${name}`
    : `${folder}/${name}`;
}
