import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { PICTURES } from '../../config/image.ts';
import { fillFolder } from '../fillFolder.ts';
import { decode } from '../image/decode.ts';
import { encodePng } from '../image/encode.ts';
import { resize } from '../image/resize.ts';
import type { PlannedQuestion, PlannedTriplet, PreparedRows } from './plan.ts';

const FOLDER = 'pictures';

/**
 * Writes prepared rows: `triplets.jsonl`, `eval_seen.jsonl`, `eval_unseen.jsonl` where there are unseen classes, and
 * `candidates.txt`, a name a line. A positive or negative of another size than its anchor is written anew in the anchor's,
 * as in the released data, to `pictures/`; all other pictures stay where they are, and are named by relative paths.
 *
 * @param out a folder that is empty or not there yet; it is filled at the end
 * @param onTriplets is told how many triplets are written
 * @throws ConfigError if the folder holds anything or cannot be written
 * @throws DataError that names a picture that cannot be used
 */
export async function writePrepared(
  out: string,
  rows: PreparedRows,
  onTriplets: (done: number) => void = () => undefined,
): Promise<void> {
  const named = (image: string): string => relative(resolve(out), resolve(image));
  await fillFolder(out, async (work) => {
    await mkdir(join(work, FOLDER));
    const triplets: object[] = [];
    for (const [i, triplet] of rows.triplets.entries()) {
      triplets.push(await writeTriplet(work, triplet, i + 1, named));
      onTriplets(i + 1);
    }
    const write = (name: string, lines: readonly string[]): Promise<void> =>
      writeFile(join(work, name), lines.map((line) => `${line}\n`).join(''));
    const json = (values: readonly object[]): string[] => values.map((value) => JSON.stringify(value));
    await write('triplets.jsonl', json(triplets));
    for (const [split, questions] of Object.entries(rows.tests)) {
      if (questions.length === 0) continue;
      await write(`eval_${split}.jsonl`, json(questions.map((question) => questionLine(question, named))));
    }
    await write('candidates.txt', rows.classes);
  });
}

const questionLine = (
  { image, question, options, groundTruth }: PlannedQuestion,
  named: (image: string) => string,
): object => ({ image_path: named(image), question, options, ground_truth: groundTruth });

async function writeTriplet(
  work: string,
  { anchor, positive, negative, problem, answer, options }: PlannedTriplet,
  number: number,
  named: (image: string) => string,
): Promise<object> {
  const { width, height } = await decode(anchor, PICTURES);
  const alike = async (image: string, what: string): Promise<string> => {
    const pixels = await decode(image, PICTURES);
    if (pixels.width === width && pixels.height === height) return named(image);
    const name = join(FOLDER, `${number}-${what}.png`);
    await writeFile(join(work, name), await encodePng(resize(pixels, width, height, 'pillow')));
    return name;
  };
  return {
    images: [named(anchor)],
    problem,
    answer,
    image_noisy: [await alike(positive, 'positive')],
    image_aug: [await alike(negative, 'negative')],
    options,
  };
}
