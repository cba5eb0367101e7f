import * as tf from '@tensorflow/tfjs';

/** Estimators of KL(pi || other) from log-probabilities of tokens that pi drew; `low_var_kl` is k3 (Schulman 2020). */
export type KlEstimator = 'kl' | 'abs' | 'mse' | 'low_var_kl';

/** An estimate for each token, with its derivatives. */
export interface KlEstimate {
  value: tf.Tensor;
  dLogProbs: tf.Tensor;
  dOther: tf.Tensor;
}

/** Differences of log-probabilities are clamped to this before they are exponentiated. */
export const MAX_DIFFERENCE = 20;
/** So is the value of `low_var_kl`, where it has no gradient either. */
export const MAX_KL = 10;

/** 1 where a condition holds, else 0; no gradient goes through it. */
export const indicator = (condition: tf.Tensor): tf.Tensor => condition.toFloat();

/**
 * The estimate of each token, elementwise (released `compute_kl`). Derivatives are written out, so that they can be
 * taken where tfjs is differentiating already.
 *
 * @param logProbs of the policy, any shape
 * @param other of the distribution that it is compared with, alike
 */
export function klEstimate(kind: KlEstimator, logProbs: tf.Tensor, other: tf.Tensor): KlEstimate {
  const difference = logProbs.sub(other);
  if (kind === 'kl') {
    const one = tf.onesLike(difference);
    return { value: difference, dLogProbs: one, dOther: one.neg() };
  }
  if (kind === 'abs') {
    return { value: difference.abs(), dLogProbs: difference.sign(), dOther: difference.sign().neg() };
  }
  if (kind === 'mse') {
    return { value: difference.square().mul(0.5), dLogProbs: difference, dOther: difference.neg() };
  }
  const d = difference.neg().clipByValue(-MAX_DIFFERENCE, MAX_DIFFERENCE);
  const value = d.exp().sub(d).sub(1);
  const counts = indicator(
    tf.logicalAnd(difference.abs().lessEqual(MAX_DIFFERENCE), value.lessEqual(MAX_KL)),
  );
  const slope = d.exp().sub(1).mul(counts);
  return { value: value.minimum(MAX_KL), dLogProbs: slope.neg(), dOther: slope };
}

/**
 * KL of whole distributions, as the released `full`: sum p (log p - log q) over the last axis.
 * @param logProbs `[..., V]` of p
 * @param other `[..., V]` of q
 * @returns `[...]`
 */
export const klDivergence = (logProbs: tf.Tensor, other: tf.Tensor): tf.Tensor =>
  logProbs.exp().mul(logProbs.sub(other)).sum(-1);
