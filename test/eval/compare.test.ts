import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/common/errors.ts';
import { compareWith, readResults } from '../../src/eval/compare.ts';
import { type ResultRow, type Results, sumUp } from '../../src/eval/results.ts';
import { resultRow } from './support.ts';

const resultsOf = (rows: ResultRow[], settings = {}): Results =>
  sumUp({ model: 'm', data: 'd', seed: 0, ...settings }, rows, [], { seed: 0 });
/* Rows 0 to 399, of which the first are right. */
const rowsOf = (right: number): ResultRow[] =>
  Array.from({ length: 400 }, (_, i) =>
    resultRow({
      key: String(i),
      strict: i < right,
      released: i < right,
      ...(i >= right && { named: ['b'] }),
    }),
  );

describe('two evaluations', () => {
  it('are compared row by row: 40 of 400 rows more, all of them gained', () => {
    const { folder, differences, passes } = compareWith(
      'there',
      resultsOf(rowsOf(200)),
      resultsOf(rowsOf(240)),
      0,
    );
    expect([folder, differences]).toEqual(['there', []]);
    expect(passes).toHaveLength(1);
    const [{ strict, released, ...counts }] = passes as [(typeof passes)[number]];
    expect(counts).toEqual({ pass: 'stored', rows: 400, unpaired: 0 });
    expect(strict.mean).toBeCloseTo(0.1, 12);
    // 1.96 standard deviations of a share of 10 % of 400 are 2.9 points; unpaired they would be 6.9.
    expect(strict.high - strict.low).toBeLessThan(0.07);
    expect(strict.low).toBeGreaterThan(0.06);
    expect(released).toEqual(strict);
  });

  it('are compared on the rows and passes that both have', () => {
    const before = resultsOf([...rowsOf(400).slice(0, 10), resultRow({ key: 'x', pass: 'open' })]);
    const after = resultsOf([
      ...rowsOf(0).slice(5, 25),
      resultRow({ key: 'x', pass: 'classify', probability: 1 }),
    ]);
    expect(compareWith('there', before, after, 0).passes).toEqual([
      {
        pass: 'stored',
        rows: 5,
        unpaired: 20,
        released: { mean: -1, low: -1, high: -1 },
        strict: { mean: -1, low: -1, high: -1 },
      },
    ]);
  });

  it('are compared by similarity where both have it', () => {
    const open = (similarity: number): ResultRow[] => [resultRow({ key: '1', pass: 'open', similarity })];
    const { passes } = compareWith('there', resultsOf(open(0.25)), resultsOf(open(0.75)), 0);
    expect(passes[0]?.similarity?.mean).toBe(0.5);
    const without = compareWith(
      'there',
      resultsOf([resultRow({ key: '1', pass: 'open' })]),
      resultsOf(open(0.75)),
      0,
    );
    expect(without.passes[0]).not.toHaveProperty('similarity');
  });

  it('may be of different models and files; what else differs is said', () => {
    const before = resultsOf(rowsOf(1), { model: 'other', data: 'other', prompt: 'plain' });
    const after = resultsOf(rowsOf(1), { seed: 1 });
    expect(compareWith('there', before, after, 0).differences).toEqual([
      'seed was 0, and is 1',
      'prompt was "plain", and is nothing',
    ]);
  });

  it('cannot be compared without a row in common', () => {
    const other = resultsOf([resultRow({ key: 'other', set: 'car' })]);
    const compare = (): unknown => compareWith('there', other, resultsOf(rowsOf(1)), 0);
    expect(compare).toThrow(ConfigError);
    expect(compare).toThrow(
      'there holds results of other rows (1 of car, stored); expected some of 400 of bird, stored. Name another folder by ' +
        '--compare.',
    );
  });
});

it('says of a folder that it holds no results', () => {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-results-'));
  expect(() => readResults(folder)).toThrow(ConfigError);
  expect(() => readResults(folder)).toThrow(
    /results\.json cannot be read: ENOENT.* Give the --out folder of a whole evaluation/,
  );
  writeFileSync(join(folder, 'results.json'), '{"rows": [');
  expect(() => readResults(folder)).toThrow(/results\.json cannot be read: .*JSON/);
});
