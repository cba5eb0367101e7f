/**
 * Probabilities of alternatives from the log-probabilities that a model gives them: exp, normalised to a sum of 1.
 * @param logProbs at least one, none of them NaN, at least one finite
 */
export function normalised(logProbs: readonly number[]): number[] {
  const largest = Math.max(...logProbs);
  const weights = logProbs.map((logProb) => Math.exp(logProb - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** The tokens that all sequences begin with. */
export function commonBeginning(sequences: readonly (readonly number[])[]): number[] {
  const [first = [], ...others] = sequences;
  const end = first.findIndex((token, at) => others.some((other) => other[at] !== token));
  return first.slice(0, end === -1 ? first.length : end);
}

/** Where the largest value is; the first of equal ones. */
export const indexOfLargest = (values: readonly number[]): number =>
  values.reduce((best, value, i) => (value > (values[best] as number) ? i : best), 0);
