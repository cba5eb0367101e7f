import * as tf from '@tensorflow/tfjs';
import { DataError } from '../common/errors.ts';
import { lossOf, type PartialTapoLoss, type Variant } from '../config/tapoLoss.ts';
import { joinMeasures, type LossMetrics, measure } from './measures.ts';
import { objective, type ObjectiveInputs } from './objective.ts';
import { tokenWeights } from './weights.ts';

// Else tfjs advises whoever computes before a backend is chosen to install its own binding, whose place ours takes.
tf.enableProdMode();

/** B responses of R tokens at most, as plain arrays. */
export interface TapoLossInputs {
  /** of the policy that is trained, `[B][R]` */
  logProbs: readonly (readonly number[])[];
  /** of the policy that drew the responses */
  oldLogProbs: readonly (readonly number[])[];
  /** of the same tokens behind the negative picture; left out, there is no KL_inter and no H[pi_neg] */
  negLogProbs?: readonly (readonly number[])[];
  /** of the frozen reference; left out, there is no KL_ref */
  refLogProbs?: readonly (readonly number[])[];
  /** one a response */
  advantages: readonly number[];
  /** 1 at tokens of the response, else 0; they come first in each row */
  mask: readonly (readonly number[])[];
  /** 1 for right responses, 0 for others: needed where `sftCoefficient` is not 0 */
  correct?: readonly number[];
}

/** Which loss: a variant, and single switches that are set otherwise. */
export interface TapoLossOptions extends PartialTapoLoss {
  variant: Variant;
  /** responses of a micro-batch, where the loss is a mean of their means; default: all */
  responsesPerMicroBatch?: number;
  /** tokens of a response at most, for `average: constant`; default: R */
  maxNewTokens?: number;
  /** factor of gamma and both entropies, as annealing has it; default 1 */
  annealing?: number;
}

export interface TapoLossResult {
  loss: number;
  metrics: LossMetrics;
  /** of the loss, `[B][R]`; with respect to `negLogProbs` zeros where the variant does not ask for it */
  gradients: { logProbs: number[][]; negLogProbs: number[][] };
}

/**
 * The loss of an update and its gradients with respect to the log-probabilities (paper, section 3.2; released
 * `update_policy`).
 *
 * @throws DataError if the shapes do not fit one another, or what a switch needs is missing
 */
export async function tapoLoss(
  inputs: TapoLossInputs,
  { variant, responsesPerMicroBatch, maxNewTokens, annealing = 1, ...switches }: TapoLossOptions,
): Promise<TapoLossResult> {
  const loss = lossOf(variant, switches);
  const [count, length] = [inputs.logProbs.length, inputs.logProbs[0]?.length ?? 0];
  assertShapes(inputs, count, length);
  const correct = inputs.correct ?? new Array<number>(count).fill(0);
  if (loss.sftCoefficient > 0 && inputs.correct === undefined) {
    throw new DataError(
      'tapoLoss: sftCoefficient is not 0, but correct is missing; give 1 or 0 for each response.',
    );
  }
  const lengths = inputs.mask.map((row) => row.reduce((sum, x) => sum + x, 0));
  const weights = tokenWeights(lengths, correct, loss, {
    responsesPerMicroBatch: responsesPerMicroBatch ?? count,
    maxNewTokens: maxNewTokens ?? length,
  });
  const tensors = tf.tidy(() => {
    const matrix = (rows: readonly (readonly number[])[]): tf.Tensor =>
      tf.tensor2d(rows as number[][], [count, length]);
    const column = (values: ArrayLike<number>): tf.Tensor =>
      tf.tensor2d(Float32Array.from(values), [count, 1]);
    const on: ObjectiveInputs = {
      logProbs: matrix(inputs.logProbs),
      oldLogProbs: matrix(inputs.oldLogProbs),
      ...(inputs.negLogProbs && { negLogProbs: matrix(inputs.negLogProbs) }),
      ...(inputs.refLogProbs && { refLogProbs: matrix(inputs.refLogProbs) }),
      advantages: column(inputs.advantages),
      mask: matrix(inputs.mask),
      weights: { policy: column(weights.policy), entropy: column(weights.entropy), sft: column(weights.sft) },
      annealing: tf.scalar(annealing),
    };
    const result = objective(on, loss);
    return [measure(on, result, loss), result.dLogProbs, result.dNegLogProbs];
  });
  const [measures, dLogProbs, dNegLogProbs] = await Promise.all(tensors.map((tensor) => tensor.array()));
  tf.dispose(tensors);
  const metrics = joinMeasures([measures as number[]]);
  return {
    loss: metrics.loss,
    metrics,
    gradients: { logProbs: dLogProbs as number[][], negLogProbs: dNegLogProbs as number[][] },
  };
}

function assertShapes(inputs: TapoLossInputs, count: number, length: number): void {
  if (count === 0 || length === 0) {
    throw new DataError(
      'tapoLoss: logProbs is empty; give a row for each response, a number for each token.',
    );
  }
  for (const name of ['logProbs', 'oldLogProbs', 'negLogProbs', 'refLogProbs', 'mask'] as const) {
    const rows = inputs[name];
    if (rows === undefined) continue;
    const bad = rows.findIndex((row) => row.length !== length);
    if (rows.length === count && bad === -1) continue;
    throw new DataError(
      `tapoLoss: ${name} has ${rows.length} rows${bad === -1 ? '' : `, and ${rows[bad]?.length} numbers in row ${bad}`}; ` +
        `expected ${count} rows of ${length}, as logProbs has.`,
    );
  }
  for (const name of ['advantages', 'correct'] as const) {
    const values = inputs[name];
    if (values === undefined || values.length === count) continue;
    throw new DataError(`tapoLoss: ${name} has ${values.length} numbers; expected ${count}, one a response.`);
  }
  const holed = inputs.mask.findIndex((row) => row.lastIndexOf(1) !== row.reduce((sum, x) => sum + x, 0) - 1);
  if (holed !== -1 || inputs.mask.some((row) => row[0] !== 1)) {
    throw new DataError(
      `tapoLoss: row ${Math.max(0, holed)} of mask is not ones followed by zeros; tokens of a response come first, one at least.`,
    );
  }
}
