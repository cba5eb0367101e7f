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

/* Repetition penalty (Keskar et al. 2019), temperature and top-k; removed tokens get -Infinity. */
function filterLogits(
  logits: tf.Tensor,
  { temperature, topK, repetitionPenalty }: SampleOptions,
  seen: tf.Tensor,
): tf.Tensor {
  const penalised_BV = penalise(logits, repetitionPenalty, seen);
  const z_BV = temperature === 1 ? penalised_BV : penalised_BV.div(temperature);
  return topK > 0 && topK < (z_BV.shape[1] as number) ? keepLargest(z_BV, topK) : z_BV;
}

function penalise(logits: tf.Tensor, penalty: number, seen: tf.Tensor): tf.Tensor {
  if (penalty === 1) return logits;
  const penalised = tf.where(logits.less(0), logits.mul(penalty), logits.div(penalty));
  return tf.where(seen.greater(0), penalised, logits);
}

/*
 * Removes each token unless fewer than `count` are strictly above it: the threshold is found by halving an interval, which
 * is cheaper than sorting a vocabulary. The interval ends where probabilities do, so that it is as short under a bias or
 * with an outlier; tokens below have no share of the softmax, and are removed.
 */
function keepLargest(z_BV: tf.Tensor, count: number): tf.Tensor {
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
      const isFew = z_BV.greater(middle).toFloat().sum(1, true).less(count);
      return {
        i: i.add(tf.scalar(1, 'int32')),
        low: tf.where(isFew, low, middle),
        high: tf.where(isFew, middle, high),
      };
    },
    { i: tf.scalar(0, 'int32'), low: low_B1, high: high_B1 },
  );
  return tf.where(z_BV.greater(low), z_BV, REMOVED);
}

/*
 * The arg max of logits plus noise over the likeliest tokens that together have the probability `topP` (nucleus, Holtzman et
 * al. 2020): a token is among them if those strictly above it have less. Rather than to find them, tokens are drawn:
 * one that is not among them takes all up to its logit out, and the next is drawn from the rest. Few draws fail, where
 * finding a threshold takes dozens of passes.
 */
function nucleusArgMax(z_BV: tf.Tensor, noise: tf.Tensor, topP: number): tf.Tensor {
  const [rows, width] = z_BV.shape as [number, number];
  const weights_BV = tf.softmax(z_BV);
  const noisy_BV = z_BV.add(noise);
  const firsts = tf.range(0, rows, 1, 'int32').mul(tf.scalar(width, 'int32'));
  const isOut = (tokens_B: tf.Tensor): { z_B1: tf.Tensor; isOut: tf.Tensor } => {
    const z_B1 = z_BV.reshape([-1]).gather(firsts.add(tokens_B)).expandDims(1);
    const above_B1 = tf.where(z_BV.greater(z_B1), weights_BV, 0).sum(1, true);
    return { z_B1, isOut: above_B1.greaterEqual(topP) };
  };
  const draw = (floor_B1: tf.Tensor): tf.Tensor =>
    tf.where(z_BV.greater(floor_B1), noisy_BV, REMOVED).argMax(1);
  const first = noisy_BV.argMax(1);
  const start = isOut(first);
  const { tokens } = whileLoop<Record<'tokens' | 'z' | 'out', tf.Tensor>>(
    ({ out }) => out.any(),
    ({ tokens, z, out }) => {
      const drawn = tf.where(out.squeeze([1]), draw(z), tokens);
      const next = isOut(drawn);
      return { tokens: drawn, z: next.z_B1, out: next.isOut };
    },
    { tokens: first, z: start.z_B1, out: start.isOut },
  );
  return tokens;
}

/** Chosen tokens, int32 `[B]`, and their log-probabilities `[B]`. */
export interface Sampled {
  tokens: tf.Tensor;
  /** under the softmax of the logits at the temperature, before any filter */
  logProbs: tf.Tensor;
}

/**
 * Chooses a token for each row: the likeliest at temperature 0, else one drawn from the filtered distribution (as the
 * arg max of the logits plus Gumbel noise). Filters go in transformers' order: repetition penalty, temperature, top-k,
 * top-p; tokens with equal logits stay or go together.
 *
 * @param logits `[B, V]`
 * @param noise `[B, V]`, Gumbel; read if the temperature is above 0
 * @param seen `[B, V]`, 1 at tokens that occur already; read if there is a penalty
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
      : draw(filterLogits(allowed_BV, options, seen), noise, options.topP);
    const z_BV = isGreedy || options.temperature === 1 ? logits : logits.div(options.temperature);
    const [rows, width] = z_BV.shape as [number, number];
    const shifted_BV = z_BV.sub(z_BV.max(1, true));
    const at = tf.range(0, rows, 1, 'int32').mul(tf.scalar(width, 'int32')).add(tokens);
    const logProbs = shifted_BV.reshape([-1]).gather(at).sub(shifted_BV.exp().sum(1).log());
    return { tokens, logProbs };
  });
}

const draw = (z_BV: tf.Tensor, noise: tf.Tensor, topP: number): tf.Tensor =>
  topP < 1 ? nucleusArgMax(z_BV, noise, topP) : z_BV.add(noise).argMax(1);

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
