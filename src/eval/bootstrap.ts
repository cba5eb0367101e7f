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
export function bootstrapMean(values: readonly number[], seed = 0): Estimate {
  if (values.length === 0) throw new RangeError('bootstrapMean: there are no values.');
  const random = createRandom(seed, 'bootstrap', values.length);
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[integerBelow(random, values.length)] as number;
    return sum / values.length;
  }).sort();
  const at = (share: number): number => means[Math.round(share * (RESAMPLES - 1))] as number;
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return { mean, low: at(TAIL), high: at(1 - TAIL) };
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
