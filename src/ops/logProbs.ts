import * as tf from '@tensorflow/tfjs';

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
    const shifted_RV = logits.sub(logits.max(-1, true));
    const weights_RV = shifted_RV.exp();
    const sums_R1 = weights_RV.sum(-1, true);
    const logSums_R = sums_R1.log().squeeze([1]);
    const meanLogit_R = weights_RV
      .mul(shifted_RV)
      .sum(-1)
      .div(sums_R1.squeeze([1]));
    return {
      logProbs: pick(shifted_RV, targets).sub(logSums_R),
      entropies: logSums_R.sub(meanLogit_R),
    };
  });
}

/* One value of each row: [R]. */
function pick(x_RV: tf.Tensor, targets_R: tf.Tensor): tf.Tensor {
  const [rows, width] = x_RV.shape as [number, number];
  const at = tf.range(0, rows, 1, 'int32').mul(tf.scalar(width, 'int32')).add(targets_R);
  return x_RV.reshape([-1]).gather(at);
}

/**
 * Log-probabilities of tokens from logits, and the gradient of their weighted sum with respect to the logits:
 * `coefficient (onehot - p)`. Nothing is computed twice.
 *
 * @param logits `[R, V]`
 * @param targets int32 `[R]`
 * @param coefficients `[R]`
 */
export function logProbsVjp(
  logits: tf.Tensor,
  targets: tf.Tensor,
  coefficients: tf.Tensor,
): LogProbs & { dLogits: tf.Tensor } {
  return tf.tidy(() => {
    const shifted_RV = logits.sub(logits.max(-1, true));
    const weights_RV = shifted_RV.exp();
    const sums_R1 = weights_RV.sum(-1, true);
    const logSums_R = sums_R1.log().squeeze([1]);
    const meanLogit_R = weights_RV
      .mul(shifted_RV)
      .sum(-1)
      .div(sums_R1.squeeze([1]));
    const scale_R1 = coefficients.expandDims(1);
    const isTarget_RV = tf.range(0, logits.shape[1] as number, 1, 'int32').equal(targets.expandDims(1));
    return {
      logProbs: pick(shifted_RV, targets).sub(logSums_R),
      entropies: logSums_R.sub(meanLogit_R),
      dLogits: tf.where(isTarget_RV, scale_R1, 0).sub(weights_RV.mul(scale_R1.div(sums_R1))),
    };
  });
}
