import { describe, expect, it } from 'vitest';
import { type Group, type PassResult, type ResultRow, sumUp } from '../../src/eval/results.ts';
import { resultRow } from './support.ts';

const summed = (rows: ResultRow[], more: { maxRisk?: number } = {}): PassResult =>
  sumUp({}, rows, [], { seed: 0, ...more }).passes[0] as PassResult;
const figures = ({ name, rows, released, strict }: Group): unknown[] => [
  name,
  rows,
  released.mean,
  strict.mean,
];
const rowsOf = (
  set: string,
  split: 'seen' | 'unseen' | undefined,
  right: number,
  wrong: number,
): ResultRow[] =>
  Array.from({ length: right + wrong }, (_, i) =>
    resultRow({
      key: `${set}-${split}-${i}`,
      set,
      ...(split && { split }),
      ...(i >= right && { named: ['b'], strict: false, released: false }),
    }),
  );

describe('figures of groups', () => {
  it('are those of all, of each split, and of each set', () => {
    const rows = [
      ...rowsOf('bird', 'seen', 3, 1),
      ...rowsOf('bird', 'unseen', 1, 1),
      ...rowsOf('car', 'seen', 0, 12),
      ...rowsOf('car', 'unseen', 2, 0),
    ];
    expect(summed(rows).groups.map(figures)).toEqual([
      ['all', 20, 0.3, 0.3],
      // As the paper's tables have it: each set counts the same.
      ['all, mean of 4 sets', 20, 0.5625, 0.5625],
      ['seen', 16, 3 / 16, 3 / 16],
      ['seen, mean of 2 sets', 16, 0.375, 0.375],
      ['unseen', 4, 0.75, 0.75],
      ['unseen, mean of 2 sets', 4, 0.75, 0.75],
      ['bird seen', 4, 0.75, 0.75],
      ['car seen', 12, 0, 0],
      ['bird unseen', 2, 0.5, 0.5],
      ['car unseen', 2, 1, 1],
    ]);
  });

  it('are not repeated where a set is all of a split, or of all', () => {
    expect(summed(rowsOf('bird', undefined, 2, 2)).groups.map(({ name }) => name)).toEqual(['all']);
    expect(summed(rowsOf('bird', 'seen', 2, 2)).groups.map(({ name }) => name)).toEqual(['all']);
    const both = [...rowsOf('bird', 'seen', 2, 2), ...rowsOf('bird', 'unseen', 2, 2)];
    expect(summed(both).groups.map(({ name }) => name)).toEqual(['all', 'seen', 'unseen']);
  });

  it('tell the two rules apart, and count form and cut responses', () => {
    const rows = [
      resultRow({ key: '1' }),
      resultRow({ key: '2', named: ['a', 'b'], strict: false }),
      resultRow({ key: '3', named: [], strict: false, released: false, wellFormed: false, truncated: true }),
      resultRow({ key: '4', named: ['b'], strict: false, released: false }),
    ];
    expect(summed(rows).groups[0]).toMatchObject({
      rows: 4,
      released: { mean: 0.5 },
      strict: { mean: 0.25 },
      wellFormed: 0.75,
      truncated: 0.25,
    });
  });

  it('take a row with its turns as one: its value is their mean, and rows are drawn for the interval', () => {
    const turns = (key: string, right: number): ResultRow[] =>
      [0, 1, 2, 3].map((turn) => resultRow({ key, pass: 'rotations', turn, strict: turn < right }));
    const always = summed([...turns('1', 2), ...turns('2', 2), ...turns('3', 2)]).groups[0];
    // Each row is half right, so that no sample of rows differs.
    expect(always).toMatchObject({ rows: 3, strict: { mean: 0.5, low: 0.5, high: 0.5 } });
    const mixed = summed([...turns('1', 4), ...turns('2', 0)]).groups[0];
    expect(mixed).toMatchObject({ rows: 2, strict: { mean: 0.5, low: 0, high: 1 } });
  });
});

describe('figures of classes', () => {
  it('begin with the worst, and count what was answered for each', () => {
    const rows = [
      resultRow({ key: '1', label: 'a' }),
      resultRow({ key: '2', label: 'b', named: ['a'], strict: false, released: false }),
      resultRow({ key: '3', label: 'b', named: ['a'], strict: false, released: false }),
      resultRow({ key: '4', label: 'b', named: ['b'] }),
      resultRow({ key: '5', label: 'b', set: 'car', named: [], strict: false, released: true }),
    ];
    const { classes, confusions } = summed(rows);
    expect(classes).toEqual([
      { set: 'car', label: 'b', answers: 1, released: 1, strict: 0 },
      { set: 'bird', label: 'b', answers: 3, released: 1 / 3, strict: 1 / 3 },
      { set: 'bird', label: 'a', answers: 1, released: 1, strict: 1 },
    ]);
    expect(confusions).toEqual([
      { set: 'bird', label: 'b', named: ['a'], count: 2 },
      { set: 'car', label: 'b', named: [], count: 1 },
    ]);
  });
});

describe('passes', () => {
  it('are summed up apart; places are counted where there are options, refusals where there are probabilities', () => {
    const { passes } = sumUp(
      {},
      [
        resultRow({ key: '1' }),
        resultRow({ key: '1', pass: 'open', options: [], similarity: 0.5 }),
        resultRow({ key: '1', pass: 'classify', probability: 0.75 }),
        resultRow({ key: '2', pass: 'classify', probability: 0.5, named: ['b'], strict: false }),
      ],
      [],
      { seed: 0, maxRisk: 0.1 },
    );
    expect(passes.map(({ pass, positions }) => [pass, positions.length])).toEqual([
      ['stored', 2],
      ['open', 0],
      ['classify', 2],
    ]);
    expect(passes.map(({ groups }) => groups[0]?.similarity?.mean)).toEqual([undefined, 0.5, undefined]);
    expect(passes[2]?.refusal).toMatchObject({
      curve: [
        { threshold: 0.5, coverage: 1, risk: 0.5 },
        { threshold: 0.75, coverage: 0.5, risk: 0 },
      ],
      calibration: { maxRisk: 0.1, chosen: { threshold: 0.75, coverage: 0.5 } },
    });
    expect(passes[0]).not.toHaveProperty('refusal');
  });
});
