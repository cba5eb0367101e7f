import { createRandom, shuffled } from '../common/random.ts';

/** How many rows there are, and how they make steps. */
export interface StepPlan {
  rows: number;
  rowsPerStep: number;
  /** the last one of an epoch may have fewer rows */
  stepsPerEpoch: number;
  totalSteps: number;
}

/** Plans a training of so many epochs, or so many steps. */
export function planSteps(
  rows: number,
  {
    rowsPerStep,
    epochs,
    steps,
  }: { rowsPerStep: number; epochs?: number | undefined; steps?: number | undefined },
): StepPlan {
  const stepsPerEpoch = Math.ceil(rows / rowsPerStep);
  return { rows, rowsPerStep, stepsPerEpoch, totalSteps: steps ?? Math.ceil((epochs ?? 1) * stepsPerEpoch) };
}

/**
 * The rows of a step: those of each epoch in an order of its own. It follows from the seed and the step alone, so that
 * a resumed training goes on as if it had never stopped.
 *
 * @param step from 0
 */
export function rowsOfStep(
  step: number,
  { rows, rowsPerStep, stepsPerEpoch }: StepPlan,
  seed: number,
): number[] {
  const epoch = Math.floor(step / stepsPerEpoch);
  const order = shuffled(
    createRandom(seed, 'order of rows', epoch),
    Array.from({ length: rows }, (_, i) => i),
  );
  const from = (step % stepsPerEpoch) * rowsPerStep;
  return order.slice(from, from + rowsPerStep);
}

/**
 * Cuts the rows of a step into micro-batches; for a mean over all tokens rows of similar length go together, which
 * saves padding and changes nothing else.
 */
export function microBatches<T extends { ids: readonly number[] }>(
  rows: readonly T[],
  {
    rowsPerMicroBatch,
    accumulation,
  }: { rowsPerMicroBatch: number; accumulation: 'token-mean' | 'mean-of-means' },
): T[][] {
  const ordered =
    accumulation === 'token-mean' ? [...rows].sort((a, b) => b.ids.length - a.ids.length) : rows;
  return Array.from({ length: Math.ceil(rows.length / rowsPerMicroBatch) }, (_, i) =>
    ordered.slice(i * rowsPerMicroBatch, (i + 1) * rowsPerMicroBatch),
  );
}
