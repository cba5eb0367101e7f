import * as tf from '@tensorflow/tfjs';
import type { TapoLoss } from '../config/tapoLoss.ts';
import { indicator, klEstimate, MAX_DIFFERENCE } from './kl.ts';

/** What the objective is of: B responses of R tokens at most. */
export interface ObjectiveInputs {
  /** of the policy that is trained, `[B, R]` */
  logProbs: tf.Tensor;
  /** of the policy that drew the responses, `[B, R]`; left out where it is the same policy still */
  oldLogProbs?: tf.Tensor;
  /** of the same tokens behind the negative picture, `[B, R]`; needed for KL_inter and for H[pi_neg] */
  negLogProbs?: tf.Tensor;
  /** of the frozen reference, `[B, R]`; needed for KL_ref */
  refLogProbs?: tf.Tensor;
  /** `[B, 1]` */
  advantages: tf.Tensor;
  /** `[B, R]`: 1 at tokens of the response, else 0 */
  mask: tf.Tensor;
  weights: ObjectiveWeights;
  /** factor of gamma and of the entropies; 1 where nothing is annealed */
  annealing: tf.Tensor;
}

/** What a token of each response weighs in the means of the loss, `[B, 1]` each. */
export interface ObjectiveWeights {
  /** in the surrogate and the divergences */
  policy: tf.Tensor;
  /** in the entropies, which are means over tokens whatever the loss is */
  entropy: tf.Tensor;
  /** in the loss on right responses: 0 for wrong ones */
  sft: tf.Tensor;
}

/** The terms of the objective, a value for each token, and the gradient of the whole loss. */
export interface Objective {
  /** `[B, R]` each, without weights */
  terms: {
    surrogate: tf.Tensor;
    klInter?: tf.Tensor;
    klRef?: tf.Tensor;
    /** log of the ratio of the policies, clamped; a sequence's own for each of its tokens under `sequence` */
    logRatio: tf.Tensor;
    clippedHigh: tf.Tensor;
    clippedDual: tf.Tensor;
  };
  /** `[B, R]` */
  dLogProbs: tf.Tensor;
  /** `[B, R]`; zeros unless the negative's gradient is asked for */
  dNegLogProbs: tf.Tensor;
}

/**
 * The objective of TAPO, as a loss (paper, section 3.2, equations 3 to 8; released `update_policy`): the clipped surrogate, less
 * gamma KL_inter, plus eta1 H[pi], eta2 H[pi_neg], beta KL_ref and a likelihood of right responses.
 *
 * The gradient is written out rather than taken by tfjs, so that it can be taken in the middle of a function that is
 * being differentiated.
 */
export function objective(inputs: ObjectiveInputs, loss: TapoLoss): Objective {
  const { logProbs, negLogProbs, refLogProbs, mask, weights, annealing } = inputs;
  const surrogate = surrogateOf(inputs, loss);
  let dLogProbs = surrogate.dLogProbs.mul(weights.policy);
  let dNegLogProbs: tf.Tensor = tf.zerosLike(logProbs);
  let klInter: tf.Tensor | undefined;
  if (negLogProbs !== undefined) {
    const kl = interDivergence(logProbs, negLogProbs, mask, loss);
    const factor = weights.policy.mul(annealing).mul(-loss.klInter.coefficient);
    klInter = kl.value;
    dLogProbs = dLogProbs.add(kl.dLogProbs.mul(factor));
    if (loss.negativeGradient) {
      const entropy = weights.entropy.mul(annealing).mul(-loss.entropyNegativeCoefficient);
      dNegLogProbs = kl.dOther.mul(factor).add(entropy);
    }
  }
  let klRef: tf.Tensor | undefined;
  if (refLogProbs !== undefined) {
    const kl = klEstimate(loss.klRef.estimator, logProbs, refLogProbs);
    klRef = kl.value;
    dLogProbs = dLogProbs.add(kl.dLogProbs.mul(weights.policy).mul(loss.klRef.coefficient));
  }
  dLogProbs = dLogProbs
    .sub(weights.entropy.mul(annealing).mul(loss.entropyCoefficient))
    .sub(weights.sft.mul(loss.sftCoefficient));
  return {
    terms: {
      ...surrogate.terms,
      ...(klInter && { klInter }),
      ...(klRef && { klRef }),
    },
    dLogProbs: dLogProbs.mul(mask),
    dNegLogProbs: dNegLogProbs.mul(mask),
  };
}

/**
 * Means of the terms by their weights, and the loss: scalars.
 * @param annealing as in the inputs
 */
export function lossParts(
  { logProbs, negLogProbs, mask, weights, annealing }: ObjectiveInputs,
  { terms }: Objective,
  loss: TapoLoss,
): {
  loss: tf.Tensor;
  policy: tf.Tensor;
  klInter: tf.Tensor;
  klRef: tf.Tensor;
  entropy: tf.Tensor;
  entropyNegative: tf.Tensor;
  sft: tf.Tensor;
} {
  const mean = (values: tf.Tensor | undefined, weight: tf.Tensor): tf.Tensor =>
    values === undefined ? tf.scalar(0) : values.mul(mask).mul(weight).sum();
  const policy = mean(terms.surrogate, weights.policy);
  const klInter = mean(terms.klInter, weights.policy);
  const klRef = mean(terms.klRef, weights.policy);
  const entropy = mean(logProbs.neg(), weights.entropy);
  const entropyNegative = mean(negLogProbs?.neg(), weights.entropy);
  const sft = mean(logProbs.neg(), weights.sft);
  const inter = klInter
    .mul(-loss.klInter.coefficient)
    .add(entropy.mul(loss.entropyCoefficient))
    .add(entropyNegative.mul(loss.entropyNegativeCoefficient));
  const total = policy
    .add(inter.mul(annealing))
    .add(klRef.mul(loss.klRef.coefficient))
    .add(sft.mul(loss.sftCoefficient));
  return { loss: total, policy, klInter, klRef, entropy, entropyNegative, sft };
}

type Surrogate = Pick<Objective, 'dLogProbs'> & {
  terms: Pick<Objective['terms'], 'surrogate' | 'logRatio' | 'clippedHigh' | 'clippedDual'>;
};

/* The policy's part of the loss, without weights, and its derivative. */
function surrogateOf(inputs: ObjectiveInputs, loss: TapoLoss): Surrogate {
  const { logProbs, oldLogProbs = logProbs, advantages, mask } = inputs;
  const difference = logProbs.sub(oldLogProbs);
  const isSequence = loss.surrogate === 'sequence';
  const raw = isSequence
    ? // GSPO, equation 7: the mean over a sequence's tokens, for each of them.
      difference.mul(mask).sum(1, true).div(mask.sum(1, true)).mul(tf.onesLike(mask))
    : difference;
  const logRatio = raw.clipByValue(-MAX_DIFFERENCE, MAX_DIFFERENCE);
  const moves = indicator(raw.abs().lessEqual(MAX_DIFFERENCE));
  const ratio = logRatio.exp();
  const low = loss.clipLow < 1 ? Math.log(1 - loss.clipLow) : -MAX_DIFFERENCE;
  const clipped = logRatio.clipByValue(low, Math.log(1 + loss.clipHigh)).exp();
  const plain = ratio.mul(advantages).neg();
  const held = clipped.mul(advantages).neg();
  const clippedHigh = indicator(plain.less(held));
  if (loss.surrogate === 'cispo') {
    // CISPO (MiniMax-M1, equation 4): the clipped ratio is a weight, and no token loses its gradient.
    return {
      terms: { surrogate: held.mul(logProbs), logRatio, clippedHigh, clippedDual: tf.zerosLike(clippedHigh) },
      dLogProbs: held,
    };
  }
  const upper = plain.maximum(held);
  const isNegative = indicator(advantages.less(0)).mul(tf.onesLike(plain));
  const bound = loss.dualClip === null ? undefined : advantages.mul(-loss.dualClip);
  const clippedDual =
    bound === undefined ? tf.zerosLike(plain) : indicator(upper.greater(bound)).mul(isNegative);
  const surrogate =
    bound === undefined ? upper : upper.mul(tf.sub(1, clippedDual)).add(bound.mul(clippedDual));
  const free = tf.sub(1, clippedHigh).mul(tf.sub(1, clippedDual)).mul(moves);
  return { terms: { surrogate, logRatio, clippedHigh, clippedDual }, dLogProbs: plain.mul(free) };
}

/* KL_inter of each token, with the released extras: only the tokens where it is highest, and no more than a bound. */
function interDivergence(
  logProbs: tf.Tensor,
  negLogProbs: tf.Tensor,
  mask: tf.Tensor,
  { klInter: { estimator, topShare, clip } }: TapoLoss,
): { value: tf.Tensor; dLogProbs: tf.Tensor; dOther: tf.Tensor } {
  const kl = klEstimate(estimator, logProbs, negLogProbs);
  let counts: tf.Tensor = tf.onesLike(mask);
  let { value } = kl;
  if (topShare !== null) {
    counts = indicator(value.greaterEqual(topThreshold(value, mask, topShare)));
    value = value.mul(counts);
  }
  if (clip !== null) {
    counts = counts.mul(indicator(tf.logicalAnd(value.greaterEqual(0), value.lessEqual(clip))));
    value = value.clipByValue(0, clip);
  }
  return { value, dLogProbs: kl.dLogProbs.mul(counts), dOther: kl.dOther.mul(counts) };
}

/* The quantile 1 - share of each row's valid values, between two of them by a line: [B, 1]. */
function topThreshold(values_BR: tf.Tensor, mask_BR: tf.Tensor, share: number): tf.Tensor {
  const length = values_BR.shape[1] as number;
  const low = values_BR.mul(mask_BR).add(mask_BR.sub(1).mul(1e9));
  const sorted_BR = tf.topk(low, length).values;
  const last_B1 = mask_BR.sum(1, true).sub(1);
  const place_B1 = last_B1.mul(1 - share);
  const below_B1 = place_B1.floor();
  const at = (ascending_B1: tf.Tensor): tf.Tensor =>
    sorted_BR.mul(indicator(tf.range(0, length).equal(last_B1.sub(ascending_B1)))).sum(1, true);
  const from_B1 = at(below_B1);
  const to_B1 = at(below_B1.add(1).minimum(last_B1));
  return from_B1.add(to_B1.sub(from_B1).mul(place_B1.sub(below_B1)));
}
