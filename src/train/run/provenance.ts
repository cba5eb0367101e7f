import { execFileSync } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { DataError, messageOf } from '../../common/errors.ts';
import { FINER1_VERSION } from '../../common/version.ts';

/** What ran: versions, and the commit where finer1 runs from a checkout. */
export interface Program {
  finer1: string;
  node: string;
  /** ends with ` (changed)` if files differ from it */
  commit?: string;
}

/** The program that runs. */
export function describeProgram(): Program {
  const commit = readCommit();
  return { finer1: FINER1_VERSION, node: process.version, ...(commit !== undefined && { commit }) };
}

/**
 * The sha256 of files, by their absolute paths; of a folder, that of the names and contents of all of its files.
 * @throws DataError if one cannot be read
 */
export async function hashFiles(paths: readonly string[]): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const path of paths.map((one) => resolve(one))) {
    const hash = createHash('sha256');
    try {
      if (statSync(path).isDirectory()) await addFolder(path, hash);
      else await addFile(path, hash);
    } catch (error) {
      throw new DataError(`${path} cannot be read: ${messageOf(error)}.`);
    }
    hashes[path] = hash.digest('hex');
  }
  return hashes;
}

/**
 * The sha256 of a model's files of weights, by their names.
 * @throws DataError if one cannot be read
 */
export async function hashWeights(modelFolder: string): Promise<Record<string, string>> {
  const names = readdirSync(modelFolder)
    .filter((name) => name.endsWith('.safetensors'))
    .sort();
  return byName(await hashFiles(names.map((name) => join(modelFolder, name))));
}

/** What a model's folder holds: the sha256 of its files, by their names. */
export interface ModelHashes {
  weights: Record<string, string>;
  /** of what else decides what the model says */
  config: Record<string, string>;
}

const CONFIG_FILES = [
  ...['config.json', 'generation_config.json', 'preprocessor_config.json'],
  ...['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'chat_template.json'],
];

/**
 * The sha256 of a model's files.
 * @throws DataError if one cannot be read
 */
export async function hashModel(folder: string): Promise<ModelHashes> {
  const files = CONFIG_FILES.map((name) => join(folder, name)).filter((file) => existsSync(file));
  return { weights: await hashWeights(folder), config: byName(await hashFiles(files)) };
}

const byName = (hashes: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(hashes).map(([path, hash]) => [basename(path), hash]));

async function addFolder(folder: string, hash: Hash): Promise<void> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  for (const file of entries.map(({ parentPath, name }) => join(parentPath, name)).sort()) {
    const stats = statSync(file);
    if (!stats.isFile()) continue;
    hash.update(`${file.slice(folder.length)}\0${stats.size}\0`);
    await addFile(file, hash);
  }
}

const CHUNK_BYTES = 2 ** 20;

async function addFile(file: string, hash: Hash): Promise<void> {
  for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES }))
    hash.update(chunk as Buffer);
}

/* Of the checkout that this program is in; an installed package is none, though it may lie in somebody's. */
function readCommit(): string | undefined {
  const root = dirname(createRequire(import.meta.url).resolve('finer1/package.json'));
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const [top, commit] = git('rev-parse', '--show-toplevel', 'HEAD').split('\n');
    if (top !== root || commit === undefined) return undefined;
    return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit} (changed)`;
  } catch {
    return undefined; // No git, or no checkout.
  }
}
