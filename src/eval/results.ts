import { bootstrapMean, type Estimate } from './bootstrap.ts';
import type { AnswerRecord, Settings } from './answers.ts';
import { groupBy } from './groupBy.ts';
import { positionBias, type PositionShare } from './options.ts';
import type { LeftOut, Pass } from './questions.ts';

/** A row of the results; in the open world with its similarity where that is asked for. */
export type ResultRow = Pick<
  AnswerRecord,
  'key' | 'pass' | 'turn' | 'set' | 'split' | 'options' | 'label' | 'named' | 'released' | 'strict'
> &
  Pick<AnswerRecord, 'wellFormed' | 'truncated'> & { similarity?: number };

/** Figures of some rows; shares with their 95 % intervals, of which rows (not turns) are drawn. */
export interface Group {
  /** `all`, a split, or a set and split */
  name: string;
  rows: number;
  /** right by the released rule */
  released: Estimate;
  /** exactly one known class named, the right one */
  strict: Estimate;
  /** the paper's open-world score */
  similarity?: Estimate;
  wellFormed: number;
  truncated: number;
}

/** Figures of a class. */
export interface ClassFigures {
  set: string;
  label: string;
  answers: number;
  released: number;
  strict: number;
}

/** How often a class was answered where another was right. */
export interface Confusion {
  set: string;
  label: string;
  /** what the answers name: one other class, several or none */
  named: string[];
  count: number;
}

/** What a pass gave. */
export interface PassResult {
  pass: Pass;
  groups: Group[];
  /** by the place among the options; none in the open world */
  positions: PositionShare[];
  /** the worst by the strict rule first */
  classes: ClassFigures[];
  /** the most frequent first */
  confusions: Confusion[];
}

/** What `results.json` holds. */
export interface Results {
  settings: Settings;
  passes: PassResult[];
  /** rows whose pictures are missing or cannot be used: no part of any figure */
  leftOut: LeftOut[];
  rows: ResultRow[];
}

/** Sums up the rows of an evaluation. */
export function sumUp(settings: Settings, rows: ResultRow[], leftOut: LeftOut[], seed: number): Results {
  const passes = [...groupBy(rows, ({ pass }) => pass)].map(([pass, of]) => ({
    pass,
    groups: groupsOf(of).map(([name, some]) => figuresOf(name, some, seed)),
    positions: pass === 'open' ? [] : positionBias(of),
    classes: classesOf(of),
    confusions: confusionsOf(of),
  }));
  return { settings, passes, leftOut, rows };
}

/* All, each split, each set with its splits; a group that is all of a larger one is not named again. */
function groupsOf(rows: readonly ResultRow[]): [string, readonly ResultRow[]][] {
  const split = (row: ResultRow): string => row.split ?? '';
  const groups = [
    ...groupBy(rows, split),
    ...groupBy(rows, (row) => `${row.set} ${split(row)}`.trim()),
  ].filter(([name, some]) => name !== '' && some.length < rows.length);
  const isNew = ([, some]: [string, readonly ResultRow[]], i: number): boolean =>
    !groups.slice(0, i).some(([, other]) => other.length === some.length && other[0] === some[0]);
  return [['all', rows], ...groups.filter(isNew)];
}

/** The value of each row: the mean over its turns. */
export function valuesByRow(
  rows: readonly ResultRow[],
  valueOf: (row: ResultRow) => number,
): Map<string, number> {
  return new Map([...groupBy(rows, ({ key }) => key)].map(([key, turns]) => [key, mean(turns, valueOf)]));
}

const mean = <T>(items: readonly T[], valueOf: (item: T) => number): number =>
  items.reduce((sum, item) => sum + valueOf(item), 0) / items.length;

/** What of a row is a measure of being right. */
export const MEASURES = {
  released: (row: ResultRow): number => Number(row.released),
  strict: (row: ResultRow): number => Number(row.strict),
  similarity: (row: ResultRow): number => row.similarity ?? 0,
} as const;

function figuresOf(name: string, rows: readonly ResultRow[], seed: number): Group {
  const estimate = (measure: keyof typeof MEASURES): Estimate =>
    bootstrapMean([...valuesByRow(rows, MEASURES[measure]).values()], seed);
  const hasSimilarity = rows.some(({ similarity }) => similarity !== undefined);
  return {
    name,
    rows: new Set(rows.map(({ key }) => key)).size,
    released: estimate('released'),
    strict: estimate('strict'),
    ...(hasSimilarity && { similarity: estimate('similarity') }),
    wellFormed: mean(rows, ({ wellFormed }) => Number(wellFormed)),
    truncated: mean(rows, ({ truncated }) => Number(truncated)),
  };
}

function classesOf(rows: readonly ResultRow[]): ClassFigures[] {
  const ofClass = groupBy(rows, ({ set, label }) => `${set}\0${label}`);
  return [...ofClass.values()]
    .map((some) => ({
      ...pickClass(some),
      answers: some.length,
      released: mean(some, MEASURES.released),
      strict: mean(some, MEASURES.strict),
    }))
    .sort((a, b) => a.strict - b.strict || b.answers - a.answers || (a.label < b.label ? -1 : 1));
}

const pickClass = (rows: readonly ResultRow[]): { set: string; label: string } => {
  const [first] = rows as [ResultRow];
  return { set: first.set, label: first.label };
};

function confusionsOf(rows: readonly ResultRow[]): Confusion[] {
  const wrong = rows.filter(({ strict }) => !strict);
  return [...groupBy(wrong, ({ set, label, named }) => JSON.stringify([set, label, named])).values()]
    .map((some) => ({ ...pickClass(some), named: some[0]?.named ?? [], count: some.length }))
    .sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1));
}
