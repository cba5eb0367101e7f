import * as tf from '@tensorflow/tfjs';
import { roundToBfloat16 } from '../runtime/round.ts';
import type { Variable } from '../runtime/variable.ts';

/** A parameter with what AdamW keeps of it. */
export interface AdamWState {
  parameter: Variable;
  /** running means of the gradient and of its square */
  mean: Variable;
  square: Variable;
  /** what rounding has lost of the parameter so far, bfloat16; makes the update a compensated one */
  compensation?: Variable;
}

/** The decay rates of the running means, and what keeps the division finite. */
export interface AdamWConstants {
  betas: readonly [number, number];
  epsilon: number;
}

/** What changes from step to step, as one float32 tensor `[4]` so that nothing is traced again. */
export function adamwScalars(
  step: number,
  { learningRate, weightDecay, scale }: { learningRate: number; weightDecay: number; scale: number },
  { betas }: AdamWConstants,
): tf.Tensor1D {
  const [beta1, beta2] = betas;
  return tf.tensor1d([
    scale,
    learningRate * weightDecay,
    learningRate / (1 - beta1 ** step),
    Math.sqrt(1 - beta2 ** step),
  ]);
}

/**
 * One step of AdamW (Loshchilov and Hutter 2019, algorithm 2, as torch.optim.AdamW computes it), in place.
 *
 * @param scalars as `adamwScalars` makes them; the gradient is multiplied by the first (clipping)
 * @param decays whether the parameter decays
 */
export function adamw(
  { parameter, mean, square }: AdamWState,
  gradient: tf.Tensor,
  scalars: tf.Tensor1D,
  decays: boolean,
  { betas: [beta1, beta2], epsilon }: AdamWConstants,
): void {
  const [scale, decay, stepSize, correction] = tf.unstack(scalars) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const g = gradient.mul(scale);
  const m = mean.read();
  const nextMean = m.add(g.sub(m).mul(1 - beta1));
  const nextSquare = square
    .read()
    .mul(beta2)
    .add(g.square().mul(1 - beta2));
  const p = parameter.read();
  const decayed = decays ? p.mul(tf.scalar(1).sub(decay)) : p;
  const denominator = nextSquare.sqrt().div(correction).add(epsilon);
  mean.assign(nextMean);
  square.assign(nextSquare);
  parameter.assign(decayed.sub(nextMean.mul(stepSize).div(denominator)));
}

/**
 * The same for bfloat16 parameters and moments with Kahan's compensation: what rounding loses of an update is kept and
 * added to the next (Kahan 1965). Every rounding is that of torch's bfloat16 arithmetic, with `1 - beta1` in float32 as
 * on a GPU (test/goldens/make/make_tapo.py, `kahan_step`). Not for XLA, which may leave roundings out.
 */
export function kahanAdamw(
  { parameter, mean, square, compensation }: Required<AdamWState>,
  gradient: tf.Tensor,
  scalars: tf.Tensor1D,
  decays: boolean,
  { betas: [beta1, beta2], epsilon }: AdamWConstants,
): void {
  const [scale, decay, stepSize, correction] = tf.unstack(scalars) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const b = roundToBfloat16;
  const g = gradient.mul(scale);
  const p = decays ? b(parameter.read().mul(tf.scalar(1).sub(decay))) : parameter.read();
  const m = b(b(mean.read().mul(beta1)).add(g.mul(1 - beta1)));
  const v = b(b(square.read().mul(beta2)).add(g.mul(1 - beta2).mul(g)));
  const denominator = b(b(b(v.sqrt()).div(correction)).add(epsilon));
  const pending = b(compensation.read().sub(stepSize.mul(m).div(denominator)));
  const next = b(p.add(pending));
  mean.assign(m);
  square.assign(v);
  parameter.assign(next);
  compensation.assign(b(pending.add(b(p.sub(next)))));
}
