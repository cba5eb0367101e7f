import { createRandom, integerBelow } from '../common/random.ts';

/** A mean with its 95 % interval. */
export interface Estimate {
  mean: number;
  low: number;
  high: number;
}

const RESAMPLES = 2000;
const TAIL = 0.025;

/**
 * The mean of some values with its percentile bootstrap interval (Efron 1979): the middle 95 % of the means of samples that are
 * drawn from the values with replacement.
 *
 * @param seed of what is drawn
 * @throws RangeError if there are no values
 */
export const bootstrapMean = (values: readonly number[], seed = 0): Estimate =>
  bootstrapMeanOfMeans([values], seed);

/**
 * The mean of the groups' means, each group counting the same; samples are drawn within each group.
 *
 * @throws RangeError if there are no values, or none in a group
 */
export function bootstrapMeanOfMeans(groups: readonly (readonly number[])[], seed = 0): Estimate {
  if (groups.length === 0 || groups.some(({ length }) => length === 0)) {
    throw new RangeError('bootstrapMean: there are no values.');
  }
  const random = createRandom(seed, 'bootstrap', groups.flat().length);
  const meanOf = (valueOf: (group: readonly number[], i: number) => number): number =>
    groups.reduce(
      (sum, group) => sum + group.reduce((all, _, i) => all + valueOf(group, i), 0) / group.length,
      0,
    ) / groups.length;
  const drawn = (group: readonly number[]): number => group[integerBelow(random, group.length)] as number;
  const means = Float64Array.from({ length: RESAMPLES }, () => meanOf(drawn)).sort();
  const at = (share: number): number => means[Math.round(share * (RESAMPLES - 1))] as number;
  return { mean: meanOf((group, i) => group[i] as number), low: at(TAIL), high: at(1 - TAIL) };
}

/**
 * How much more the values of `after` are than those of `before`, row by row: the paired bootstrap.
 * @throws RangeError if they are not as many
 */
export function pairedBootstrap(before: readonly number[], after: readonly number[], seed = 0): Estimate {
  if (before.length !== after.length) {
    throw new RangeError(
      `pairedBootstrap: ${before.length} and ${after.length} values; each row needs one of both.`,
    );
  }
  return bootstrapMean(
    after.map((value, i) => value - (before[i] as number)),
    seed,
  );
}
