import * as Plot from '@observablehq/plot';
import { SPLITS } from '../../scripts/pipeline.ts';
import type { Estimate } from '../../src/eval/bootstrap.ts';
import { drawSvg } from '../../src/report/svg.ts';
import type { Experiment } from './open.ts';
import { accuracy, gain, type SeedResult } from './results.ts';

/* A mean in percent or points, with its interval. */
interface Mark {
  split: string;
  name: string;
  mean: number;
  low: number;
  high: number;
}

const [INK, ROW_HEIGHT] = ['#1f5fa8', 26];

/** Draws how right each model is: over all seeds with the interval, and each seed as a ring. */
export function drawAccuracies({ models }: Experiment, seeds: readonly SeedResult[]): string {
  return draw('right answers, %', models, seeds, (some, model, split) => accuracy(some, model, split));
}

/** Draws the compared differences in the same way; the line is at none. */
export function drawDifferences({ compared }: Experiment, seeds: readonly SeedResult[]): string {
  const named = new Map(compared.map((pair) => [`${pair[1]} - ${pair[0]}`, pair]));
  return draw('difference, points', [...named.keys()], seeds, (some, name, split) => {
    const [before, after] = named.get(name) as (typeof compared)[number];
    return gain(some, before, after, split);
  });
}

function draw(
  label: string,
  names: readonly string[],
  seeds: readonly SeedResult[],
  estimate: (some: readonly SeedResult[], name: string, split: (typeof SPLITS)[number]) => Estimate,
): string {
  const marksOf = (some: readonly SeedResult[]): Mark[] =>
    SPLITS.flatMap((split) =>
      names.map((name) => {
        const { mean, low, high } = estimate(some, name, split);
        return { split, name, mean: 100 * mean, low: 100 * low, high: 100 * high };
      }),
    );
  const pooled = marksOf(seeds);
  const place = { fx: 'split', y: 'name' };
  const svg = drawSvg({
    width: 760,
    height: 82 + names.length * ROW_HEIGHT,
    marginLeft: 150,
    marginBottom: 42,
    style: { background: 'white', color: '#222', fontSize: '12px' },
    x: { label, grid: true, nice: true },
    y: { label: null, domain: names },
    fx: { label: null, domain: SPLITS, padding: 0.15 },
    marks: [
      ...(pooled.some(({ low }) => low < 0) ? [Plot.ruleX([0], { stroke: '#888' })] : []),
      Plot.ruleY(pooled, { ...place, x1: 'low', x2: 'high', stroke: INK, strokeWidth: 2 }),
      Plot.dot(
        seeds.flatMap((one) => marksOf([one])),
        { ...place, x: 'mean', r: 3, stroke: '#777' },
      ),
      Plot.dot(pooled, { ...place, x: 'mean', r: 4, fill: INK }),
    ],
  });
  // Of its own, a file needs the name space.
  return `${svg.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ')}\n`;
}
