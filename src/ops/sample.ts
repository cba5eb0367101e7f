import * as tf from '@tensorflow/tfjs';
import { whileLoop } from '../runtime/whileLoop.ts';
import { firstWord } from '../common/threefry.ts';

/** What a token is drawn from. */
export interface SampleOptions {
  /** 0 takes the likeliest token */
  temperature: number;
  /** 0: off */
  topK: number;
  /** 1: off */
  topP: number;
  /** 1: off */
  repetitionPenalty: number;
}

// Below the best logit by this much, a probability is 0 in float32: exp(-105) is less than half its smallest number.
const REACH = 105;
// Halvings of an interval of that size, at most: 1e-10 is left then.
const HALVINGS = 40;
const REMOVED = -Infinity;

/**
 * Filters logits in transformers' order: repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (nucleus,
 * Holtzman et al. 2020). Removed tokens get -Infinity, so the softmax is what is drawn from.
 *
 * Tokens with equal logits stay or go together.
 *
 * @param logits `[B, V]`
 * @param seen `[B, V]`, 1 at tokens that occur already; read if there is a penalty
 */
export function filterLogits(
  logits: tf.Tensor,
  { temperature, topK, topP, repetitionPenalty }: SampleOptions,
  seen: tf.Tensor,
): tf.Tensor {
  return tf.tidy(() => {
    let z_BV = penalise(logits, repetitionPenalty, seen);
    if (temperature > 0 && temperature !== 1) z_BV = z_BV.div(temperature);
    if (topK > 0 && topK < (z_BV.shape[1] as number)) {
      z_BV = keepAbove(z_BV, tf.onesLike(z_BV), tf.scalar(topK));
    }
    if (topP < 1) z_BV = keepAbove(z_BV, tf.softmax(z_BV), tf.scalar(topP));
    return z_BV;
  });
}

function penalise(logits: tf.Tensor, penalty: number, seen: tf.Tensor): tf.Tensor {
  if (penalty === 1) return logits;
  const penalised = tf.where(logits.less(0), logits.mul(penalty), logits.div(penalty));
  return tf.where(seen.greater(0), penalised, logits);
}

/*
 * Removes each token unless the tokens strictly above it weigh less than `limit`: the threshold is found by halving
 * an interval, which is cheaper than sorting a vocabulary. The interval ends where probabilities do, so that it is as
 * short under a bias or with an outlier; tokens below have no share of the softmax, and are removed.
 */
function keepAbove(z_BV: tf.Tensor, weights_BV: tf.Tensor, limit: tf.Scalar): tf.Tensor {
  const high_B1 = z_BV.max(1, true);
  const low_B1 = tf.maximum(z_BV.min(1, true).sub(1), high_B1.sub(REACH));
  const middleOf = (low: tf.Tensor, high: tf.Tensor): tf.Tensor => low.add(high).mul(0.5);
  const { low } = whileLoop<Record<'i' | 'low' | 'high', tf.Tensor>>(
    ({ i, low, high }) => {
      const middle = middleOf(low, high);
      // Else no float32 is left between the ends.
      const isBetween = middle.greater(low).logicalAnd(middle.less(high));
      return i.less(HALVINGS).logicalAnd(isBetween.any());
    },
    ({ i, low, high }) => {
      const middle = middleOf(low, high);
      const above_B1 = tf.where(z_BV.greater(middle), weights_BV, 0).sum(1, true);
      const isEnough = above_B1.less(limit);
      return {
        i: i.add(tf.scalar(1, 'int32')),
        low: tf.where(isEnough, low, middle),
        high: tf.where(isEnough, middle, high),
      };
    },
    { i: tf.scalar(0, 'int32'), low: low_B1, high: high_B1 },
  );
  return tf.where(z_BV.greater(low), z_BV, REMOVED);
}

/** Chosen tokens, int32 `[B]`, and their log-probabilities `[B]`. */
export interface Sampled {
  tokens: tf.Tensor;
  /** under the softmax of the logits at the temperature, before any filter */
  logProbs: tf.Tensor;
}

/**
 * Chooses a token for each row: the likeliest at temperature 0, else one drawn from the filtered distribution (as the
 * arg max of the logits plus Gumbel noise).
 *
 * @param logits `[B, V]`
 * @param noise `[B, V]`, Gumbel; read if the temperature is above 0
 * @param seen as for `filterLogits`
 * @param bias `[B, V]`, added for the choice only: very negative at tokens that are not allowed
 */
export function sampleTokens(
  logits: tf.Tensor,
  options: SampleOptions,
  noise: tf.Tensor,
  seen: tf.Tensor,
  bias?: tf.Tensor,
): Sampled {
  return tf.tidy(() => {
    const allowed_BV = bias === undefined ? logits : logits.add(bias);
    const isGreedy = options.temperature === 0;
    const tokens = isGreedy
      ? penalise(allowed_BV, options.repetitionPenalty, seen).argMax(1)
      : filterLogits(allowed_BV, options, seen).add(noise).argMax(1);
    const z_BV = isGreedy || options.temperature === 1 ? logits : logits.div(options.temperature);
    const [rows, width] = z_BV.shape as [number, number];
    const shifted_BV = z_BV.sub(z_BV.max(1, true));
    const at = tf.range(0, rows, 1, 'int32').mul(tf.scalar(width, 'int32')).add(tokens);
    const logProbs = shifted_BV.reshape([-1]).gather(at).sub(shifted_BV.exp().sum(1).log());
    return { tokens, logProbs };
  });
}

/**
 * A random key for each stream of numbers, which follows from the seed and the stream alone.
 * @param streams whole numbers of 32 bits that name each stream
 */
export function sampleKeys(seed: number, streams: readonly (readonly number[])[]): [number, number][] {
  const start: [number, number] = [seed | 0, Math.floor(seed / 2 ** 32) | 0];
  return streams.map((stream) =>
    stream.reduce<[number, number]>(
      ([k0, k1], word) => [firstWord(k0, k1, word, 0), firstWord(k0, k1, word, 1)],
      start,
    ),
  );
}
