/** Between which mean accuracies a group has something to learn from. */
export interface FilterLimits {
  low: number;
  high: number;
}

/** The paper's: groups that are always right or always wrong go (section 4.1). */
export const FILTER: FilterLimits = { low: 0.01, high: 0.99 };

/**
 * Whether a group of responses is trained on: its mean accuracy is strictly between the limits (DAPO's dynamic
 * sampling; released `_make_batch_data`).
 */
export function keepGroup(accuracies: readonly number[], { low, high }: FilterLimits = FILTER): boolean {
  const mean = accuracies.reduce((sum, x) => sum + x, 0) / accuracies.length;
  return mean > low && mean < high;
}
