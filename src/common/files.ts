import { closeSync, openSync, readSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CheckpointError, messageOf } from './errors.ts';

/**
 * The folder for what can be fetched or computed again: `FINER1_CACHE`, else `finer1` in the XDG cache folder
 * (`XDG_CACHE_HOME`, else `~/.cache`).
 */
export function cacheFolder(): string {
  const own = process.env.FINER1_CACHE;
  if (own !== undefined && own !== '') return own;
  const xdg = process.env.XDG_CACHE_HOME;
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'finer1');
}

// Larger reads go in pieces: Node reads at most 2 GiB at once.
const READ_BYTES = 64 * 2 ** 20;

/**
 * Fills `memory` from a file.
 * @param offset in bytes from the file's beginning
 * @throws CheckpointError if the file cannot be opened or ends too early
 */
export function readRange(path: string, offset: number, memory: Uint8Array): void {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new CheckpointError(`The file ${path} cannot be opened: ${messageOf(error)}.`);
  }
  try {
    for (let done = 0; done < memory.length;) {
      const read = readSync(file, memory, done, Math.min(READ_BYTES, memory.length - done), offset + done);
      if (read === 0) {
        throw new CheckpointError(
          `The file ${path} ends at byte ${offset + done}, but ${memory.length} bytes from ${offset} on were ` +
            'expected. It is cut short (an interrupted download?): fetch it again.',
        );
      }
      done += read;
    }
  } finally {
    closeSync(file);
  }
}
