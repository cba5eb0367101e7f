import * as tf from '@tensorflow/tfjs';

// Numbers that are added up one by one, where their count allows it.
const BLOCK = 128;

/** Of each row's target. */
export interface LogProbs {
  logProbs: tf.Tensor;
  /** of the row's whole distribution, in nats */
  entropies: tf.Tensor;
}

/**
 * Log-probability of a token of each row, and the entropy of the row's distribution.
 *
 * @param logits `[R, V]`
 * @param targets int32 `[R]`
 * @returns both `[R]`
 */
export function logProbs(logits: tf.Tensor, targets: tf.Tensor): LogProbs {
  return tf.tidy(() => {
    const { logProbs, weights_RV, shifted_RV, sums_R1 } = score(logits, targets);
    const meanShifted_R = sumRows(weights_RV.mul(shifted_RV)).div(sums_R1.squeeze([1]));
    return { logProbs, entropies: sums_R1.squeeze([1]).log().sub(meanShifted_R) };
  });
}

/**
 * Log-probabilities of tokens from logits, and the gradient of their weighted sum with respect to the logits:
 * `coefficient (onehot - p)`. Nothing is computed twice.
 *
 * @param logits `[R, V]`
 * @param targets int32 `[R]`
 * @param coefficientsOf makes the weights `[R]`, of the log-probabilities `[R]` where it needs them
 */
export function logProbsVjp(
  logits: tf.Tensor,
  targets: tf.Tensor,
  coefficientsOf: (logProbs: tf.Tensor) => tf.Tensor,
): { logProbs: tf.Tensor; dLogits: tf.Tensor } {
  return tf.tidy(() => {
    const { logProbs, weights_RV, sums_R1 } = score(logits, targets);
    const coefficients = coefficientsOf(logProbs);
    const rest_RV = weights_RV.mul(coefficients.neg().expandDims(1).div(sums_R1));
    // One value a row is put in: cheaper than a one-hot over the vocabulary. expm1 is exact where p is close to 1.
    const places_R2 = tf.stack([tf.range(0, targets.size, 1, 'int32'), targets], 1);
    const atTargets_R = coefficients.mul(logProbs.expm1()).neg();
    return { logProbs, dLogits: tf.tensorScatterUpdate(rest_RV, places_R2, atTargets_R) };
  });
}

/* The softmax too, as weights and their sums. */
function score(
  logits: tf.Tensor,
  targets: tf.Tensor,
): Record<'logProbs' | 'shifted_RV' | 'weights_RV' | 'sums_R1', tf.Tensor> {
  const shifted_RV = logits.sub(logits.max(-1, true));
  const weights_RV = shifted_RV.exp();
  const sums_R1 = sumRows(weights_RV).expandDims(1);
  const logSums_R = sums_R1.log().squeeze([1]);
  return { logProbs: pick(shifted_RV, targets).sub(logSums_R), shifted_RV, weights_RV, sums_R1 };
}

/* [R], in blocks: wasm adds up one after another, which over a whole vocabulary would cost two digits. */
function sumRows(x_RV: tf.Tensor): tf.Tensor {
  const [rows, width] = x_RV.shape as [number, number];
  const blocks = width / BLOCK;
  return Number.isInteger(blocks) ? x_RV.reshape([rows, blocks, BLOCK]).sum(2).sum(1) : x_RV.sum(1);
}

/* One value of each row: [R]. */
function pick(x_RV: tf.Tensor, targets_R: tf.Tensor): tf.Tensor {
  const [rows, width] = x_RV.shape as [number, number];
  const at = tf.range(0, rows, 1, 'int32').mul(tf.scalar(width, 'int32')).add(targets_R);
  return x_RV.reshape([-1]).gather(at);
}
