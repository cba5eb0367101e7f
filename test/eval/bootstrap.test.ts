import { describe, expect, it } from 'vitest';
import { bootstrapMean, bootstrapMeanOfMeans, pairedBootstrap } from '../../src/eval/bootstrap.ts';

const share = (ones: number, all: number): number[] =>
  Array.from({ length: all }, (_, i) => Number(i < ones));

describe('bootstrapMean', () => {
  it.each([
    [50, 100],
    [10, 100],
    [360, 400],
  ])('has the interval of the binomial distribution: %d of %d', (ones, all) => {
    const { mean, low, high } = bootstrapMean(share(ones, all), 3);
    const p = ones / all;
    const half = 1.96 * Math.sqrt((p * (1 - p)) / all);
    expect(mean).toBeCloseTo(p, 12);
    expect(Math.abs(low - (p - half))).toBeLessThan(0.2 * half);
    expect(Math.abs(high - (p + half))).toBeLessThan(0.2 * half);
  });

  it('is the same for the same seed, and a point where all values are equal', () => {
    expect(bootstrapMean(share(7, 20), 1)).toEqual(bootstrapMean(share(7, 20), 1));
    expect(bootstrapMean(share(700, 2000), 1)).not.toEqual(bootstrapMean(share(700, 2000), 2));
    expect(bootstrapMean([0.5, 0.5, 0.5])).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
  });

  it('needs values', () => {
    expect(() => bootstrapMean([])).toThrow('bootstrapMean: there are no values.');
  });
});

describe('bootstrapMeanOfMeans', () => {
  it('counts each group the same, and draws within each', () => {
    const { mean, low, high } = bootstrapMeanOfMeans([share(90, 100), share(100, 400)], 1);
    expect(mean).toBeCloseTo((0.9 + 0.25) / 2, 12);
    const half = 0.5 * 1.96 * Math.sqrt((0.9 * 0.1) / 100 + (0.25 * 0.75) / 400);
    expect(Math.abs(high - low - 2 * half)).toBeLessThan(0.3 * half);
    // Were rows drawn from all of them together, a group would change in size.
    expect(bootstrapMeanOfMeans([share(5, 5), share(0, 9)])).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
  });

  it('needs values in each', () => {
    expect(() => bootstrapMeanOfMeans([[1], []])).toThrow(RangeError);
    expect(() => bootstrapMeanOfMeans([])).toThrow(RangeError);
  });
});

describe('pairedBootstrap', () => {
  it('is narrower than what two samples apart would give, where rows go together', () => {
    const before = share(200, 400);
    const after = share(240, 400);
    const { mean, low, high } = pairedBootstrap(before, after, 1);
    expect(mean).toBeCloseTo(0.1, 12);
    // 40 of 400 rows differ, all in one direction.
    const half = 1.96 * Math.sqrt((0.1 * 0.9) / 400);
    expect(Math.abs(high - low - 2 * half)).toBeLessThan(0.3 * half);
  });

  it('needs both of each row', () => {
    expect(() => pairedBootstrap([1], [1, 0])).toThrow(
      'pairedBootstrap: 1 and 2 values; each row needs one of both.',
    );
  });
});
