import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  type Dirent,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { CheckpointError, messageOf } from '../common/errors.ts';

/* Weights, and what says where they are: written anew with every save. */
const WEIGHTS = /\.safetensors(\.index\.json)?$|\.bin$|\.gguf$/;

/** Copies all of a model's folder but the weights to another one: configs, tokenizer, chat template, licence. */
export function copyModelFiles(from: string, to: string): void {
  if (resolve(from) === resolve(to)) return;
  for (const name of readdirSync(from)) {
    if (!name.startsWith('.') && !WEIGHTS.test(name) && statSync(join(from, name)).isFile()) {
      copyFileSync(join(from, name), join(to, name));
    }
  }
}

const beside = (folder: string, what: string): string =>
  join(dirname(resolve(folder)), `.${basename(resolve(folder))}.finer1-${what}`);

/** The folder that holds what was in `folder` while a new one takes its name; there only if that was interrupted. */
export const formerFolder = (folder: string): string => beside(folder, 'former');

/**
 * Writes a folder anew: beside the old one first, whole and on the disk, then by its name. What fails or is killed
 * before that leaves the old one as it was. Files of the old one that are not written stay in the new one, as links.
 *
 * Between the two renames at the end a kill leaves no folder of that name; the next call puts `formerFolder` back.
 * A folder that cannot be renamed (a mount, a parent that is read-only, the folder that this process works in) is
 * written where it is.
 *
 * @param write writes into the folder that it is given
 * @param isStale names of files of the old folder that go with it
 * @throws CheckpointError if the folder cannot be written; what `write` throws
 */
export function replaceFolder(
  folder: string,
  write: (fresh: string) => void,
  isStale: (name: string) => boolean = () => false,
): void {
  // A link stays one, and its folder is replaced.
  const target = existsSync(folder) ? realpathSync(folder) : resolve(folder);
  const [fresh, former] = [beside(target, 'fresh'), formerFolder(target)];
  if (isFixed(folder, target)) {
    write(target);
    return;
  }
  orCannotReplace(folder, () => {
    if (!existsSync(target) && existsSync(former)) renameSync(former, target);
    for (const leftOver of [fresh, former]) rmSync(leftOver, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
  });
  try {
    write(fresh);
    orCannotReplace(folder, () => {
      syncAll(fresh);
      if (existsSync(target)) linkFiles(target, fresh, isStale);
      swap(target, fresh, former);
    });
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  orCannotReplace(folder, () => {
    rmSync(former, { recursive: true, force: true });
  });
}

/* Whether a folder is there that cannot be renamed. */
function isFixed(folder: string, target: string): boolean {
  if (!existsSync(target)) return false;
  const [stats, parent] = [statSync(target), dirname(target)];
  if (!stats.isDirectory()) {
    throw new CheckpointError(`${folder} cannot be written: it is a file. Give a folder.`);
  }
  const worksIn = !relative(target, process.cwd()).startsWith('..');
  return worksIn || stats.dev !== statSync(parent).dev || !isWritable(parent);
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function swap(target: string, fresh: string, former: string): void {
  const isThere = existsSync(target);
  if (isThere) renameSync(target, former);
  try {
    renameSync(fresh, target);
  } catch (error) {
    if (isThere) renameSync(former, target);
    throw error;
  }
  sync(dirname(target));
}

/* Gives a folder the files of another one that it lacks. */
function linkFiles(from: string, to: string, isStale: (name: string) => boolean): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, place] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      mkdirSync(place, { recursive: true });
      linkFiles(source, place, () => false);
    } else if (!isStale(entry.name) && !existsSync(place)) link(source, place, entry);
  }
  sync(to);
}

function link(source: string, place: string, entry: Dirent): void {
  try {
    linkSync(source, place);
  } catch (error) {
    // Not every file system has links.
    if (!entry.isFile()) throw error;
    copyFileSync(source, place);
  }
}

function syncAll(path: string): void {
  if (statSync(path).isDirectory()) for (const name of readdirSync(path)) syncAll(join(path, name));
  sync(path);
}

/* Has the disk hold a file's content, or a folder's list of names. */
function sync(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function orCannotReplace(folder: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    throw new CheckpointError(`${folder} cannot be written: ${messageOf(error)}.`);
  }
}
