import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openExperiment } from '../../experiments/support/open.ts';
import { drawAccuracies, drawDifferences } from '../../experiments/support/plot.ts';
import {
  accuracy,
  complete,
  digitsOf,
  gain,
  gainOverSeeds,
  readResults,
  type SeedResult,
  wellFormed,
  writeResults,
} from '../../experiments/support/results.ts';
import { runSeed } from '../../experiments/support/seed.ts';
import { putTables, tablesOf } from '../../experiments/support/table.ts';

const answers = (right: number[]) => ({ right, formed: right.map(() => 1) });
const digits = (seen: number[], unseen: number[]) =>
  digitsOf({ seen: answers(seen), unseen: answers(unseen) });
const seeds: SeedResult[] = [
  {
    seed: 1,
    seconds: { sft: 61.4, tapo: 30 },
    rightness: { sft: digits([0, 1, 0, 0], [0, 0]), tapo: digits([1, 1, 0, 1], [0, 1]) },
  },
  {
    seed: 2,
    seconds: { sft: 60 },
    rightness: { sft: digits([1, 1, 0, 0], [1, 0]), tapo: digits([1, 0, 1, 1], [1, 1]) },
  },
];
const experiment = { models: ['sft', 'tapo'], compared: [['sft', 'tapo']] } as const;
const temporary = (): string => mkdtempSync(join(tmpdir(), 'finer1-experiment-'));

describe('the results of an experiment', () => {
  it('are counted over questions, and compared question by question', () => {
    expect(accuracy(seeds, 'sft', 'seen').mean).toBe(3 / 8);
    expect(gain(seeds, 'sft', 'tapo', 'seen').mean).toBe(3 / 8);
    expect(gain(seeds.slice(1), 'sft', 'tapo', 'unseen')).toMatchObject({ mean: 0.5, low: 0, high: 1 });
    expect(wellFormed(seeds, 'tapo')).toBe(1);
  });

  it('have an interval over seeds, by Student', () => {
    // Gains of 1/2 and 1/4: 0.375 +- 12.7062 * 0.125.
    const { mean, low, high } = gainOverSeeds(seeds, 'sft', 'tapo', 'seen');
    expect(mean).toBe(0.375);
    expect(high - mean).toBeCloseTo(12.7062 * 0.125, 6);
    expect(mean - low).toBeCloseTo(12.7062 * 0.125, 6);
    expect(() => gainOverSeeds(seeds.slice(1), 'sft', 'tapo', 'seen')).toThrow('needs two');
    const same = seeds[0] as SeedResult;
    const twelve = Array.from({ length: 12 }, (_, i) => (i === 0 ? (seeds[1] as SeedResult) : same));
    // The quantile of 11 degrees is 2.20099.
    const wide = gainOverSeeds(twelve, 'sft', 'tapo', 'seen');
    expect((wide.high - wide.mean) / (0.25 / 12)).toBeCloseTo(2.201, 3);
  });

  it('leave out a seed that lacks a model', () => {
    const begun = { seed: 3, seconds: {}, rightness: { sft: digits([1], [1]) } };
    const some = complete({ processor: '', seeds: [...seeds, begun] }, experiment.models);
    expect(some.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(() => accuracy([begun], 'tapo', 'seen')).toThrow('Seed 3 has no tapo.');
  });

  it('are written and read back', () => {
    const file = join(temporary(), 'results.json');
    expect(readResults(file)).toBeUndefined();
    writeResults(file, { processor: 'one', seeds });
    expect(readResults(file)).toEqual({ processor: 'one', seeds });
  });

  it('become tables by seed and over all, between the marks of a page', async () => {
    const page = join(temporary(), 'README.md');
    writeFileSync(page, '# Title\n\n<!-- table -->\n\nold\n\n<!-- end -->\n\nWhat it says.\n');
    await putTables(page, tablesOf(experiment, seeds));
    const cells = readFileSync(page, 'utf8').replaceAll(/ +/g, ' ');
    expect(cells).toContain('| 1 | sft | 25.0 (0.0 to 75.0) | 0.0 (0.0 to 0.0) | 100.0 | 61 |');
    expect(cells).toContain('| all | tapo | 75.0 ');
    expect(cells).toContain('| 2 | tapo - sft | 25.0 ');
    expect(cells).toContain('What it says.');
    expect(cells).not.toContain('old');
  });

  it('become plots with a ring for each seed and a point for all', () => {
    for (const svg of [drawAccuracies(experiment, seeds), drawDifferences(experiment, seeds)]) {
      expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    }
    const circles = drawAccuracies(experiment, seeds).match(/<circle /g) ?? [];
    expect(circles).toHaveLength(2 * 2 * (2 + 1));
  });

  it('are not made again where they are there', async () => {
    let saved = 0;
    const before = structuredClone(seeds[0]);
    await runSeed({ ...experiment, name: 'none', folder: '/nowhere' }, seeds[0] as SeedResult, () => saved++);
    expect(saved).toBe(0);
    expect(seeds[0]).toEqual(before);
  });
});

describe('the experiments on the birds', () => {
  it('can be opened by name, and a wrong name is told which there are', async () => {
    const { models } = await openExperiment('quickstart');
    expect(models).toEqual(['base', 'sft', 'tapo', 'dapo']);
    await expect(openExperiment('quick')).rejects.toThrow('give one of ablations, quickstart:');
  });
});
