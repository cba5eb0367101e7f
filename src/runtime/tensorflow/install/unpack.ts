import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Entry, openPromise } from 'yauzl';
import { BackendError } from '../../../common/errors.ts';
import type { Wheel } from './wheels.ts';

/* Shared libraries, what XLA compiles with for NVIDIA's GPUs, and licences. */
const KEPT = [
  /^tensorflow\/libtensorflow_(cc|framework)\.so\.2$/,
  /^tensorflow\/(THIRD_PARTY_NOTICES\.txt|include\/LICENSE)$/,
  /^nvidia\/[^/]+\/lib\/[^/]+\.so[.\d]*$/,
  /^nvidia\/cuda_nvcc\/(bin|nvvm)\/.*[^/]$/,
  /\.dist-info\/(.*\/)?licen[cs]e[^/]*$/i,
];

/**
 * @param path of the downloaded file
 * @throws BackendError if the file is not the one that is pinned
 */
export async function checkHash(path: string, wheel: Wheel): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const found = hash.digest('hex');
  if (found === wheel.sha256) return;
  throw new BackendError(
    `The downloaded ${basename(path)} has sha256 ${found}, but ${wheel.sha256} was expected. It was damaged on ` +
      'the way, or the package index (`pip config list`) serves another file under this name. Run `finer1 setup` ' +
      'again; if this stays, use another index.',
  );
}

/**
 * Unpacks what is needed of a wheel, and sees it safely to disk.
 *
 * @param folder takes the files, under their paths in the wheel
 * @param onBytes told how many more bytes are on disk
 * @returns size in bytes of each file, by its path in the wheel
 */
export async function unpackWheel(
  path: string,
  folder: string,
  { onBytes, signal }: { onBytes: (bytes: number) => void; signal?: AbortSignal | undefined },
): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  const zip = await openPromise(path);
  try {
    for await (const entry of zip.eachEntry()) {
      if (!KEPT.some((pattern) => pattern.test(entry.fileName))) continue;
      const target = join(folder, entry.fileName);
      await mkdir(dirname(target), { recursive: true });
      const content = await zip.openReadStreamPromise(entry);
      const mode = isExecutable(entry) ? 0o755 : 0o644;
      const file = createWriteStream(target, { mode, flush: true });
      await pipeline(content, counted(onBytes), file, { signal });
      sizes[entry.fileName] = entry.uncompressedSize;
    }
  } finally {
    zip.close();
  }
  return sizes;
}

// The upper half of the external attributes are the Unix mode.
const isExecutable = (entry: Entry): boolean => ((entry.externalFileAttributes >>> 16) & 0o100) !== 0;

function counted(onBytes: (bytes: number) => void) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      onBytes(chunk.length);
      yield chunk;
    }
  };
}
