import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, messageOf } from '../common/errors.ts';
import { differences, type Settings } from './answers.ts';
import { type Estimate, pairedBootstrap } from './bootstrap.ts';
import { groupBy } from './groupBy.ts';
import type { Pass } from './questions.ts';
import { MEASURES, type ResultRow, type Results, valuesByRow } from './results.ts';

/** How much better an evaluation is than another, on the rows that both have. */
export interface PassComparison {
  pass: Pass;
  /** rows that both have */
  rows: number;
  /** rows that only one of both has, which do not count */
  unpaired: number;
  released: Estimate;
  strict: Estimate;
  similarity?: Estimate;
}

/** A comparison with another evaluation. */
export interface Comparison {
  /** the other one's folder */
  folder: string;
  /** where the settings differ, besides model and data */
  differences: string[];
  passes: PassComparison[];
}

/**
 * Compares with another evaluation, row by row, by the paired bootstrap. What is positive is better here.
 * @param folder that the other one is from
 * @throws ConfigError if they have no rows in common
 */
export function compareWith(folder: string, other: Results, results: Results, seed: number): Comparison {
  const theirs = groupBy(other.rows, ({ pass }) => pass);
  const passes = [...groupBy(results.rows, ({ pass }) => pass)].flatMap(([pass, rows]) => {
    const compared = comparePass(pass, theirs.get(pass) ?? [], rows, seed);
    return compared === undefined ? [] : [compared];
  });
  if (passes.length === 0) {
    throw new ConfigError(
      `${folder} holds results of other rows (${describe(other.rows)}); expected some of ${describe(results.rows)}. Name ` +
        'another folder by --compare.',
    );
  }
  return { folder, differences: differences(howAsked(other), howAsked(results)), passes };
}

/* The settings without model and data, which may differ. */
const howAsked = ({ settings }: Results): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([name]) => name !== 'model' && name !== 'data'));

function comparePass(
  pass: Pass,
  before: readonly ResultRow[],
  after: readonly ResultRow[],
  seed: number,
): PassComparison | undefined {
  const keys = new Set(before.map(({ key }) => key));
  const common = [...new Set(after.map(({ key }) => key))].filter((key) => keys.has(key));
  if (common.length === 0) return undefined;
  const all = new Set([...keys, ...after.map(({ key }) => key)]);
  const difference = (measure: keyof typeof MEASURES): Estimate => {
    const [first, second] = [before, after].map((rows) => valuesByRow(rows, MEASURES[measure])) as [
      Map<string, number>,
      Map<string, number>,
    ];
    const values = (of: Map<string, number>): number[] => common.map((key) => of.get(key) as number);
    return pairedBootstrap(values(first), values(second), seed);
  };
  const isScored = [...before, ...after].every(({ similarity }) => similarity !== undefined);
  return {
    pass,
    rows: common.length,
    unpaired: all.size - common.length,
    released: difference('released'),
    strict: difference('strict'),
    ...(isScored && { similarity: difference('similarity') }),
  };
}

const describe = (rows: readonly ResultRow[]): string =>
  [...groupBy(rows, ({ pass, set }) => `${set}, ${pass}`)]
    .map(([name, some]) => `${some.length} of ${name}`)
    .join('; ');

/**
 * The results of an evaluation, from its folder.
 * @throws ConfigError if it holds none
 */
export function readResults(folder: string): Results {
  const file = join(folder, 'results.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Results;
  } catch (error) {
    throw new ConfigError(
      `${file} cannot be read: ${messageOf(error)}. Give the --out folder of a whole evaluation by --compare.`,
    );
  }
}
