import * as tf from '@tensorflow/tfjs';
import type { TapoLoss } from '../config/tapoLoss.ts';
import { indicator, klEstimate, MAX_KL } from './kl.ts';
import { lossParts, type Objective, type ObjectiveInputs } from './objective.ts';

/* Sums over the tokens that a batch has; sums of several batches add up to those of all. */
const SUMS = [
  'loss',
  'policy',
  'klInter',
  'klRef',
  'entropy',
  'entropyNegative',
  'sft',
  'tokens',
  'ppoKl',
  'klOld',
  'clippedLow',
  'clippedHigh',
  'clippedDual',
  'klInterAtClamp',
] as const;

/** What an update's loss is made of. Shares and means are over tokens, the loss's parts as the loss weighs them. */
export type LossMetrics = Record<Exclude<(typeof SUMS)[number], 'tokens'> | 'ratioMin' | 'ratioMax', number>;

/** The sums of `SUMS`, then the least and the largest log ratio: `[16]`, for `joinMeasures`. */
export function measure(inputs: ObjectiveInputs, objective: Objective, loss: TapoLoss): tf.Tensor {
  const { logProbs, oldLogProbs = logProbs, negLogProbs, advantages, mask } = inputs;
  const { logRatio, clippedHigh, clippedDual } = objective.terms;
  const tokens = (values: tf.Tensor): tf.Tensor => values.mul(mask).sum();
  const clamped = (values: tf.Tensor): tf.Tensor => tokens(indicator(values.greaterEqual(MAX_KL)));
  const sums: Record<(typeof SUMS)[number], tf.Tensor> = {
    ...lossParts(inputs, objective, loss),
    tokens: mask.sum(),
    ppoKl: tokens(logRatio.neg()),
    klOld: tokens(klEstimate('low_var_kl', logProbs, oldLogProbs).value),
    clippedLow: tokens(clippedHigh.mul(indicator(advantages.less(0)))),
    clippedHigh: tokens(clippedHigh.mul(indicator(advantages.greater(0)))),
    clippedDual: tokens(clippedDual),
    klInterAtClamp:
      negLogProbs === undefined
        ? tf.scalar(0)
        : clamped(klEstimate(loss.klInter.estimator, logProbs, negLogProbs).value),
  };
  // Padding's ratio is 1.
  const ratios = logRatio.mul(mask);
  return tf.stack([...SUMS.map((name) => sums[name]), ratios.min(), ratios.max()]);
}

/** Joins the measures of the batches of an update. */
export function joinMeasures(parts: readonly ArrayLike<number>[]): LossMetrics {
  const sumOf = (name: (typeof SUMS)[number]): number =>
    parts.reduce((sum, part) => sum + (part[SUMS.indexOf(name)] as number), 0);
  const tokens = sumOf('tokens');
  const meanOf = (name: (typeof SUMS)[number]): number => sumOf(name) / tokens;
  return {
    loss: sumOf('loss'),
    policy: sumOf('policy'),
    klInter: sumOf('klInter'),
    klRef: sumOf('klRef'),
    entropy: sumOf('entropy'),
    entropyNegative: sumOf('entropyNegative'),
    sft: sumOf('sft'),
    ppoKl: meanOf('ppoKl'),
    klOld: meanOf('klOld'),
    clippedLow: meanOf('clippedLow'),
    clippedHigh: meanOf('clippedHigh'),
    clippedDual: meanOf('clippedDual'),
    klInterAtClamp: meanOf('klInterAtClamp'),
    ratioMin: Math.exp(Math.min(...parts.map((part) => part[SUMS.length] as number))),
    ratioMax: Math.exp(Math.max(...parts.map((part) => part[SUMS.length + 1] as number))),
  };
}
