import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from '../../common/errors.ts';
import { fillFolder } from '../fillFolder.ts';
import { FAMILIES, folderOf } from './birds.ts';
import { encodePng } from '../image/encode.ts';
import { drawBird } from './draw.ts';
import { planSet, type SetPlan, type SyntheticOptions } from './plan.ts';
import { readmeOf } from './readme.ts';

/* Pictures in work at once: enough for the threads of libvips. */
const AT_ONCE = 8;
const MAX_SIZE = 1024;

/** What goes on while a set is written. */
export interface WriteHooks {
  /** stops between two pictures, and leaves no file behind */
  signal?: AbortSignal;
  /** @param pictures drawn so far */
  onProgress?: (pictures: number, total: number) => void;
}

/**
 * Makes a synthetic set: the same options give the same bytes. The folder is filled at the end, when all is drawn.
 *
 * @param out a folder that is empty or not there yet
 * @throws ConfigError if the folder holds anything or cannot be written, or an option is out of range
 */
export async function writeSyntheticSet(
  out: string,
  options: SyntheticOptions,
  hooks: WriteHooks = {},
): Promise<SetPlan> {
  checkOptions(options);
  const plan = planSet(options);
  await fillFolder(out, async (work) => {
    await writePictures(work, plan, options, hooks);
    await writeTexts(work, plan, options);
  });
  return plan;
}

async function writePictures(
  folder: string,
  { pictures }: SetPlan,
  { size, difficulty }: SyntheticOptions,
  { signal, onProgress }: WriteHooks,
): Promise<void> {
  for (const path of new Set(pictures.map(({ path }) => dirname(path)))) {
    await mkdir(join(folder, path), { recursive: true });
  }
  for (let i = 0; i < pictures.length; i += AT_ONCE) {
    signal?.throwIfAborted();
    await Promise.all(
      pictures.slice(i, i + AT_ONCE).map(async ({ path, bird, random }) => {
        const pixels = await drawBird(bird, random(), FAMILIES[difficulty], size);
        await writeFile(join(folder, path), await encodePng(pixels));
      }),
    );
    onProgress?.(Math.min(i + AT_ONCE, pictures.length), pictures.length);
  }
}

async function writeTexts(folder: string, plan: SetPlan, options: SyntheticOptions): Promise<void> {
  const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);
  const tested = (seen: boolean): string =>
    toLines(
      plan.classes
        .filter((kind) => kind.seen === seen && kind.pictures.test > 0)
        .map(({ name }) => folderOf(name)),
    );
  await write('sft.json', toJson(plan.sft));
  await write('triplets.jsonl', toLines(plan.triplets.map((row) => JSON.stringify(row))));
  await write('eval_seen.jsonl', toLines(plan.evalSeen.map((row) => JSON.stringify(row))));
  await write('eval_unseen.jsonl', toLines(plan.evalUnseen.map((row) => JSON.stringify(row))));
  await write('classes.json', toJson(plan.classes));
  await write('images/seen.txt', tested(true));
  await write('images/unseen.txt', tested(false));
  await write('README.md', readmeOf(plan, options));
}

const toJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
const toLines = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

function checkOptions({ seed, size, confusion, testPictures }: SyntheticOptions): void {
  const check = (name: string, value: number, isRight: boolean, expected: string): void => {
    if (!isRight) throw new ConfigError(`${name} is ${value}; ${expected} was expected.`);
  };
  const isWhole = (value: number, low: number, high: number): boolean =>
    Number.isInteger(value) && value >= low && value <= high;
  check('The seed', seed, isWhole(seed, 0, 2 ** 32 - 1), 'a whole number from 0 to 2^32 - 1');
  check('The size', size, isWhole(size, 28, MAX_SIZE), `a whole number of pixels from 28 to ${MAX_SIZE}`);
  check('The confusion', confusion, confusion >= 0 && confusion <= 1, 'a probability from 0 to 1');
  check('The number of test pictures', testPictures, isWhole(testPictures, 1, 1e6), 'a whole number from 1');
}
