import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { log } from '../../../common/log.ts';
import { startProgress } from '../../../common/progress.ts';
import { downloadWheel, type Pip } from './pip.ts';
import { checkHash, unpackWheel } from './unpack.ts';
import type { Wheel } from './wheels.ts';

const POLL_MS = 250;
const MIB = 2 ** 20;
const inMib = (bytes: number): number => Math.ceil(bytes / MIB);

/**
 * Downloads a wheel, checks its hash, and unpacks what is needed of it, with bars that show how far it is.
 *
 * @param staging folder for what is not kept
 * @param folder takes what is
 * @returns size in bytes of each unpacked file, by its path in `folder`
 * @throws BackendError if pip fails or delivers something else; the signal's reason if it was aborted
 */
export async function fetchWheel(
  pip: Pip,
  wheel: Wheel,
  staging: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Record<string, number>> {
  log.info(`Downloading ${wheel.file} (${inMib(wheel.downloadBytes)} MiB)`);
  const download = join(staging, 'download');
  await mkdir(download, { recursive: true });
  try {
    const path = await downloadWithBar(pip, wheel, download, signal);
    await checkHash(path, wheel);
    signal?.throwIfAborted();
    return await unpackWithBar(path, wheel, folder, signal);
  } finally {
    await rm(download, { recursive: true, force: true, maxRetries: 5 });
  }
}

/* pip shows its own progress on terminals only, so its growing files tell. */
async function downloadWithBar(
  pip: Pip,
  wheel: Wheel,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  using bar = startProgress('Downloading', inMib(wheel.downloadBytes), 'MiB');
  const timer = setInterval(() => {
    sizeOf(folder).then(
      (bytes) => bar.update(inMib(bytes)),
      () => undefined, // A file went away while it was looked at.
    );
  }, POLL_MS);
  try {
    return await downloadWheel(pip, wheel, { folder, temporary: folder, signal });
  } finally {
    clearInterval(timer);
  }
}

async function unpackWithBar(
  path: string,
  wheel: Wheel,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Record<string, number>> {
  using bar = startProgress('Unpacking', inMib(wheel.unpackedBytes), 'MiB');
  let done = 0;
  return await unpackWheel(path, folder, {
    onBytes: (bytes) => bar.update(inMib((done += bytes))),
    signal,
  });
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}
