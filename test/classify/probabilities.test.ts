import { describe, expect, it } from 'vitest';
import { commonBeginning, indexOfLargest, normalised } from '../../src/classify/probabilities.ts';

describe('probabilities of alternatives', () => {
  it('are in the proportion of exp of the log-probabilities, and sum to 1', () => {
    const [a, b, c] = normalised([Math.log(0.02), Math.log(0.06), Math.log(0.12)]);
    expect(a).toBeCloseTo(0.1, 12);
    expect(b).toBeCloseTo(0.3, 12);
    expect(c).toBeCloseTo(0.6, 12);
  });

  it('are found where each exp alone would be 0', () => {
    expect(normalised([-2000, -2000 - Math.log(3)])).toEqual([
      expect.closeTo(0.75, 9),
      expect.closeTo(0.25, 9),
    ]);
    expect(normalised([-1, -Infinity])).toEqual([1, 0]);
  });
});

it('finds what all sequences begin with', () => {
  expect(commonBeginning([[1, 2, 3, 9], [1, 2, 4], [1, 2, 3]])).toEqual([1, 2]); // prettier-ignore
  expect(commonBeginning([[1, 2], [3]])).toEqual([]);
  expect(commonBeginning([[1, 2], [1, 2, 3]])).toEqual([1, 2]); // prettier-ignore
});

it('takes the first of equally large values', () => {
  expect(indexOfLargest([0.2, 0.4, 0.4])).toBe(1);
});
