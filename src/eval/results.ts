import { bootstrapMeanOfMeans, type Estimate } from './bootstrap.ts';
import type { AnswerRecord, Settings } from './answers.ts';
import { groupBy } from './groupBy.ts';
import { positionBias, type PositionShare } from './options.ts';
import type { LeftOut, Pass } from './questions.ts';
import { type Calibration, calibrate, riskCoverage, type RiskCoveragePoint } from './riskCoverage.ts';

/** A row of the results; in the open world with its similarity where that is asked for, of `classify` its probability. */
export type ResultRow = Pick<
  AnswerRecord,
  'key' | 'pass' | 'turn' | 'set' | 'split' | 'options' | 'label' | 'named' | 'released' | 'strict'
> &
  Pick<AnswerRecord, 'wellFormed' | 'truncated' | 'probability'> & { similarity?: number };

/** Figures of some rows; shares with their 95 % intervals, of which rows (not turns) are drawn. */
export interface Group {
  /** `all`, a split, the mean of the sets of one of these, or a set and split */
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
  /** of the pass `classify` */
  refusal?: Refusal;
}

/** What refusing the less probable does. */
export interface Refusal {
  curve: RiskCoveragePoint[];
  /** where a risk is wished for */
  calibration?: Calibration;
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
export function sumUp(
  settings: Settings,
  rows: ResultRow[],
  leftOut: LeftOut[],
  { seed, maxRisk }: { seed: number; maxRisk?: number | undefined },
): Results {
  const passes = [...groupBy(rows, ({ pass }) => pass)].map(([pass, of]) => ({
    pass,
    groups: groupsOf(of).map(([name, parts]) => figuresOf(name, parts, seed)),
    positions: pass === 'open' ? [] : positionBias(of),
    classes: classesOf(of),
    confusions: confusionsOf(of),
    ...(pass === 'classify' && { refusal: refusalOf(of, seed, maxRisk) }),
  }));
  return { settings, passes, leftOut, rows };
}

/* A group by its name, in the parts whose means it is the mean of: one, or a set each. */
type NamedGroup = [name: string, parts: (readonly ResultRow[])[]];

/* All and each split, as rows and, as the paper does it, as the mean of their sets; then each set of each split. */
function groupsOf(rows: readonly ResultRow[]): NamedGroup[] {
  const splits = [...groupBy(rows, ({ split }) => split ?? '')];
  const parts: [string, readonly ResultRow[]][] = splits.length > 1 ? splits : [['all', rows]];
  const sets = parts.map(([, some]) => setsOf(some));
  return [
    ...withMeanOfSets('all', rows),
    ...(splits.length > 1 ? splits : []).flatMap(([name, some]) =>
      name === '' ? [] : withMeanOfSets(name, some),
    ),
    // The only one of a part is the part.
    ...sets
      .flatMap((ofPart) => (ofPart.length > 1 ? ofPart : []))
      .map(([name, some]): NamedGroup => [name, [some]]),
  ];
}

const setsOf = (rows: readonly ResultRow[]): [string, ResultRow[]][] => [
  ...groupBy(rows, ({ set, split = '' }) => `${set} ${split}`.trim()),
];

function withMeanOfSets(name: string, rows: readonly ResultRow[]): NamedGroup[] {
  const isOne = new Set(rows.map(({ set }) => set)).size === 1;
  const sets = setsOf(rows).map(([, some]) => some);
  return [
    [name, [rows]],
    ...(isOne ? [] : [[`${name}, mean of ${sets.length} sets`, sets] satisfies NamedGroup]),
  ];
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

function figuresOf(name: string, parts: readonly (readonly ResultRow[])[], seed: number): Group {
  const estimate = (measure: keyof typeof MEASURES): Estimate =>
    bootstrapMeanOfMeans(
      parts.map((rows) => [...valuesByRow(rows, MEASURES[measure]).values()]),
      seed,
    );
  const share = (valueOf: (row: ResultRow) => boolean): number =>
    mean(parts, (rows) => mean(rows, (row) => Number(valueOf(row))));
  const rows = parts.flat();
  const hasSimilarity = rows.some(({ similarity }) => similarity !== undefined);
  return {
    name,
    rows: new Set(rows.map(({ key }) => key)).size,
    released: estimate('released'),
    strict: estimate('strict'),
    ...(hasSimilarity && { similarity: estimate('similarity') }),
    wellFormed: share(({ wellFormed }) => wellFormed),
    truncated: share(({ truncated }) => truncated),
  };
}

function refusalOf(rows: readonly ResultRow[], seed: number, maxRisk: number | undefined): Refusal {
  const outcomes = rows.map(({ probability, strict }) => ({
    probability: probability as number,
    right: strict,
  }));
  return {
    curve: riskCoverage(outcomes),
    ...(maxRisk !== undefined && { calibration: calibrate(outcomes, maxRisk, seed) }),
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
