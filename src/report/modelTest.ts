import { join } from 'node:path';
import { type Estimate, pairedBootstrap } from '../eval/bootstrap.ts';
import { groupBy } from '../eval/groupBy.ts';
import { addConfusion, type Confusions } from './confusions.ts';
import {
  type AnswerRow,
  answerRow,
  readJsonFile,
  readLines,
  testResults,
  type TestResults,
  testSettings,
} from './files.ts';
import type { Part } from './find.ts';

type FiguresOfPass = TestResults['passes'][number];

/** A test of a model by `finer1 eval`, as its folder tells of it. */
export interface ModelTest {
  name: string;
  folder: string;
  settings: Record<string, unknown>;
  /** by the pass; what was asked so far where the test was broken off */
  answers: Map<string, AnswerRow[]>;
  /** with intervals; undefined where the test was broken off */
  figures: FiguresOfPass[] | undefined;
  leftOut: TestResults['leftOut'];
  notes: string[];
}

/**
 * Reads the folder of a test.
 * @throws DataError that names file and line, if one is damaged
 */
export async function readModelTest({ name, folder }: Part): Promise<ModelTest> {
  const notes: string[] = [];
  const rows: AnswerRow[] = [];
  const onTorn = (): void => {
    notes.push('The last row of answers.jsonl was torn by a kill: it is left out.');
  };
  for await (const row of readLines(join(folder, 'answers.jsonl'), answerRow, onTorn)) rows.push(row);
  const results = readJsonFile(join(folder, 'results.json'), testResults);
  if (results === undefined)
    notes.push(`results.json is missing: the test was broken off after ${rows.length} answers.`);
  const settings = readJsonFile(join(folder, 'settings.json'), testSettings);
  if (settings === undefined) notes.push('settings.json is missing.');
  return {
    name,
    folder,
    settings: settings ?? {},
    answers: groupBy(rows, ({ pass }) => pass),
    figures: results?.passes,
    leftOut: results?.leftOut ?? [],
    notes,
  };
}

/** What was answered where something else was right. */
export function confusionsOf(answers: readonly AnswerRow[]): Confusions {
  const confusions: Confusions = new Map();
  for (const { label, named } of answers) addConfusion(confusions, label, named);
  return confusions;
}

/* Bootstrapping more would take longer than all of the rest; `finer1 eval --compare` does. */
const MAX_BOOTSTRAPPED = 2000;

/**
 * How much more often a test's answers are strictly right than those of an earlier one, by the paired bootstrap.
 *
 * @param group `all`, a split, a set, or a set and split
 * @returns undefined where there are too few common questions, or too many
 */
export function gainOver(
  before: readonly AnswerRow[],
  after: readonly AnswerRow[],
  group: string,
): Estimate | undefined {
  const valuesOf = (rows: readonly AnswerRow[]): Map<string, number> =>
    new Map(
      [
        ...groupBy(
          rows.filter((row) => isIn(row, group)),
          ({ key }) => key,
        ),
      ].map(([key, turns]) => [key, turns.filter(({ strict }) => strict).length / turns.length]),
    );
  const [first, second] = [valuesOf(before), valuesOf(after)];
  const common = [...second.keys()].filter((key) => first.has(key));
  if (common.length === 0 || common.length > MAX_BOOTSTRAPPED) return undefined;
  const pick = (values: Map<string, number>): number[] => common.map((key) => values.get(key) ?? 0);
  return pairedBootstrap(pick(first), pick(second));
}

const isIn = ({ set, split = '' }: AnswerRow, group: string): boolean =>
  ['all', split, set, `${set} ${split}`].includes(group);
