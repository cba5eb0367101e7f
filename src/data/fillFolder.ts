import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ConfigError, messageOf } from '../common/errors.ts';

/**
 * Fills a folder at the end, when all that belongs into it is there: what fails or is broken off leaves nothing behind.
 *
 * @param out a folder that is empty or not there yet
 * @param write is given the folder to write to until then, which lies beside `out`
 * @throws ConfigError if the folder holds anything or cannot be written
 */
export async function fillFolder(out: string, write: (work: string) => Promise<void>): Promise<void> {
  await assertEmpty(out);
  const target = resolve(out);
  let work: string | undefined;
  try {
    await mkdir(dirname(target), { recursive: true });
    work = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
    await write(work);
    await mkdir(target, { recursive: true });
    for (const name of await readdir(work)) await rename(join(work, name), join(target, name));
  } catch (error) {
    if (!isOfFileSystem(error)) throw error;
    throw new ConfigError(`The folder ${out} cannot be written: ${messageOf(error)}. Name another one.`);
  } finally {
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  }
}

const isOfFileSystem = (error: unknown): boolean => error instanceof Error && 'syscall' in error;

/**
 * @throws ConfigError if a folder is there and holds anything
 */
export async function assertEmpty(out: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(out);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new ConfigError(`The folder ${out} cannot be used: ${messageOf(error)}. Name another one.`);
  }
  if (names.length > 0) {
    throw new ConfigError(
      `The folder ${out} is not empty: it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''}. ` +
        'A set is never written over other files: name an empty or a new folder.',
    );
  }
}
