import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import koffi from 'koffi';
import { BackendError } from '../../../common/errors.ts';
import { log } from '../../../common/log.ts';

// Bits of flock's operation (sys/file.h).
const LOCK_EX = 2;
const LOCK_NB = 4;
const POLL_MS = 100;

/**
 * Waits until no other process installs something in the cache, and keeps others out while `action` runs. The
 * system gives the lock back when a process ends, however it ends.
 *
 * @throws BackendError if the cache's file system has no locks; the signal's reason if it was aborted
 */
export async function withCacheLock<T>(
  cache: string,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T> {
  await using file = await open(join(cache, 'setup.lock'), 'a');
  await lock(file.fd, cache, signal);
  return await action();
}

async function lock(file: number, cache: string, signal: AbortSignal | undefined): Promise<void> {
  const flock = koffi.load(null).func('flock', 'int', ['int', 'int']);
  for (let tries = 0; flock(file, LOCK_EX | LOCK_NB) !== 0; tries++) {
    if (koffi.errno() !== koffi.os.errno.EWOULDBLOCK) {
      throw new BackendError(
        `The cache ${cache} cannot be locked (error ${koffi.errno()}). Set FINER1_CACHE to a folder on a local disk.`,
      );
    }
    if (tries === 0) log.info(`Another finer1 setup is at work in ${cache}: waiting for it.`);
    await sleep(POLL_MS, undefined, { signal });
  }
}
