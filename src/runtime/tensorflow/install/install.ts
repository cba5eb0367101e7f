import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BackendError, messageOf } from '../../../common/errors.ts';
import { cacheFolder } from '../../../common/files.ts';
import { log } from '../../../common/log.ts';
import { readFreeDisk } from '../../../common/machine.ts';
import { withCacheLock } from './cacheLock.ts';
import { fetchWheel } from './fetch.ts';
import { type Flavour, installedFolder } from '../locate.ts';
import { findPip } from './pip.ts';
import { type Wheel, wheelsFor } from './wheels.ts';

export interface InstallOptions {
  /** install anew even where everything is there already */
  force?: boolean;
  /** stops it; nothing is left behind */
  signal?: AbortSignal;
  /** instead of the pinned ones */
  wheels?: readonly Wheel[];
}

export interface Installation {
  /** the folder that holds TensorFlow's libraries */
  folder: string;
  /** whether it was installed just now */
  installed: boolean;
  downloadedBytes: number;
}

/* What an installation consists of; a file in its folder. */
interface Manifest {
  /** sha256 of the wheels that it was made from */
  wheels: string[];
  /** size in bytes of each file, by its path */
  files: Record<string, number>;
}

const MANIFEST = 'manifest.json';
const STAGING_PREFIX = '.setup-';

/**
 * Installs TensorFlow's libraries into the cache, unless they are there. They appear there complete, or not at all:
 * everything is done in a staging folder beside, which is renamed in the end.
 *
 * @throws BackendError that says what to do: no pip, no network, wrong hash, full disk, a cache that cannot be
 *   written, a machine that TensorFlow is not offered for; the signal's reason if it was aborted
 */
export async function installTensorFlow(
  flavour: Flavour,
  { force = false, signal, wheels = wheelsFor(flavour) }: InstallOptions = {},
): Promise<Installation> {
  const folder = installedFolder(flavour);
  const root = dirname(folder);
  const present = { folder, installed: false, downloadedBytes: 0 };
  if (!force && (await isComplete(root, wheels))) return present;
  const cache = cacheFolder();
  try {
    await mkdir(cache, { recursive: true });
    return await withCacheLock(cache, signal, async () => {
      if (!force && (await isComplete(root, wheels))) return present;
      await removeLeftovers(cache);
      await checkSpace(cache, wheels);
      await buildAndPublish(cache, root, wheels, signal);
      return {
        folder,
        installed: true,
        downloadedBytes: sum(wheels.map((wheel) => wheel.downloadBytes)),
      };
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw explain(error, cache);
  }
}

async function isComplete(root: string, wheels: readonly Wheel[]): Promise<boolean> {
  try {
    const manifest = JSON.parse(await readFile(join(root, MANIFEST), 'utf8')) as Manifest;
    if (manifest.wheels.join() !== wheels.map((wheel) => wheel.sha256).join()) return false;
    for (const [path, bytes] of Object.entries(manifest.files)) {
      if ((await stat(join(root, path))).size !== bytes) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/* With the lock held, whatever is staged belongs to a setup that was killed. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (name.startsWith(STAGING_PREFIX)) await remove(join(cache, name));
  }
}

// What a killed pip has begun to write may appear while its folder is removed.
const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 5 });

async function checkSpace(cache: string, wheels: readonly Wheel[]): Promise<void> {
  // pip copies a finished download; one wheel at a time is downloaded and then unpacked.
  const needed =
    sum(wheels.map((wheel) => wheel.unpackedBytes)) +
    2 * Math.max(...wheels.map((wheel) => wheel.downloadBytes));
  const free = await readFreeDisk(cache);
  if (free >= needed) return;
  throw new BackendError(
    `TensorFlow needs ${gib(needed)} while it is installed, but the disk of ${cache} has ${gib(free)} ` +
      'left. Free some space, or set FINER1_CACHE to a folder on another disk.',
  );
}

async function buildAndPublish(
  cache: string,
  root: string,
  wheels: readonly Wheel[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const staging = await mkdtemp(join(cache, STAGING_PREFIX));
  try {
    const pip = await findPip(signal);
    const built = join(staging, 'built');
    const files: Manifest['files'] = {};
    for (const wheel of wheels) Object.assign(files, await fetchWheel(pip, wheel, staging, built, signal));
    const manifest: Manifest = { wheels: wheels.map((wheel) => wheel.sha256), files };
    await writeFile(join(built, MANIFEST), JSON.stringify(manifest, undefined, 2), { flush: true });
    signal?.throwIfAborted();
    if (existsSync(root)) await rename(root, join(staging, 'replaced'));
    await rename(built, root);
    await syncFolder(cache);
  } finally {
    await remove(staging).catch((error: unknown) => {
      log.warn(
        `${staging} could not be removed: ${messageOf(error)}. The next \`finer1 setup\` tries again.`,
      );
    });
  }
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder);
  await handle.sync();
}

function explain(error: unknown, cache: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new BackendError(
        `The disk of ${cache} became full while TensorFlow was installed. Free some space, or set FINER1_CACHE ` +
          'to a folder on another disk.',
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'EEXIST':
    case 'ENOTDIR':
      return new BackendError(
        `The cache ${cache} cannot be written: ${messageOf(error)}. Make it writable, or set FINER1_CACHE to a ` +
          'folder that is.',
      );
    default:
      return error;
  }
}

const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);
const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
