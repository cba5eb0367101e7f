import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrapMean, type Estimate, pairedBootstrap } from '../../src/eval/bootstrap.ts';
import { replaceFile } from '../../src/model/safetensors.ts';
import { type Rightness, type Split, SPLITS } from '../../scripts/pipeline.ts';

/** 0 and 1 of each question, in a text: a digit each. */
export type Digits = Record<Split, Record<keyof Rightness[Split], string>>;

/** What came out of the models of a seed, by their names; a model that is missing is still to be made. */
export interface SeedResult {
  seed: number;
  /** of training; left out where that was broken off in between */
  seconds: Record<string, number>;
  rightness: Record<string, Digits>;
}

/** What `results.json` of an experiment holds. */
export interface Results {
  processor: string;
  seeds: SeedResult[];
}

/** Where an experiment's results are. */
export const resultsFile = ({ folder }: { folder: string }): string => join(folder, 'results.json');

/** Reads `results.json`, if it is there. */
export const readResults = (file: string): Results | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : undefined;

/** Writes `results.json`: whole, or not at all. */
export function writeResults(file: string, results: Results): void {
  replaceFile(file, (write) => {
    write(Buffer.from(`${JSON.stringify(results, undefined, 2)}\n`));
  });
}

/** What each question got, as `results.json` has it. */
export function digitsOf(rightness: Rightness): Digits {
  const of = ({ right, formed }: Rightness[Split]) => ({ right: right.join(''), formed: formed.join('') });
  return { seen: of(rightness.seen), unseen: of(rightness.unseen) };
}

const valuesOf = (digits: string): number[] => Array.from(digits, Number);

/** The seeds that have all of some models: others would compare unlike questions. */
export const complete = (results: Results | undefined, models: readonly string[]): SeedResult[] =>
  (results?.seeds ?? []).filter(({ rightness }) => models.every((model) => Object.hasOwn(rightness, model)));

function answers(
  seeds: readonly SeedResult[],
  model: string,
  split: Split,
  what: 'right' | 'formed',
): number[] {
  return seeds.flatMap(({ seed, rightness }) => {
    const digits = rightness[model];
    if (digits === undefined) throw new RangeError(`Seed ${seed} has no ${model}.`);
    return valuesOf(digits[split][what]);
  });
}

/** The share of right answers of a model, over all questions of some seeds. */
export const accuracy = (seeds: readonly SeedResult[], model: string, split: Split): Estimate =>
  bootstrapMean(answers(seeds, model, split, 'right'));

/** How much more `after` has right than `before`, question by question. */
export const gain = (seeds: readonly SeedResult[], before: string, after: string, split: Split): Estimate =>
  pairedBootstrap(answers(seeds, before, split, 'right'), answers(seeds, after, split, 'right'));

/**
 * The mean of the seeds' differences with its 95 % interval by Student's t: the seeds are the sample, not the questions.
 * @throws RangeError with less than two seeds
 */
export function gainOverSeeds(
  seeds: readonly SeedResult[],
  before: string,
  after: string,
  split: Split,
): Estimate {
  const gains = seeds.map((one) => gain([one], before, after, split).mean);
  const freedom = gains.length - 1;
  if (freedom < 1) throw new RangeError('An interval over seeds needs two of them.');
  const mean = gains.reduce((sum, one) => sum + one, 0) / gains.length;
  const variance = gains.reduce((sum, one) => sum + (one - mean) ** 2, 0) / freedom;
  const half = quantileOfT(freedom) * Math.sqrt(variance / gains.length);
  return { mean, low: mean - half, high: mean + half };
}

const NORMAL_QUANTILE = 1.959964;
/* Of 1 to 9 degrees of freedom. */
const T_QUANTILES = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622];

/* The 97.5 % quantile of Student's t; of more degrees by its expansion at the normal one (Abramowitz, Stegun, 26.7.5). */
function quantileOfT(freedom: number): number {
  const z = NORMAL_QUANTILE;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
  ];
  return T_QUANTILES[freedom - 1] ?? terms.reduce((sum, term, i) => sum + term / freedom ** (i + 1), z);
}

/** The share of responses in the right form, seen and unseen together. */
export const wellFormed = (seeds: readonly SeedResult[], model: string): number =>
  bootstrapMean(SPLITS.flatMap((split) => answers(seeds, model, split, 'formed'))).mean;
