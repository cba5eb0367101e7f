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

/** What a step is made with. */
export interface AdamWStep {
  /** from 1 */
  step: number;
  learningRate: number;
  weightDecay: number;
  /** the gradient is multiplied by it (clipping) */
  scale: number;
}

/**
 * What changes from step to step, as one tensor so that nothing is traced again: the gradient's scale, what decay
 * leaves of a parameter, the step size, and the square root of the second moment's correction.
 *
 * @param compensated for `kahanAdamw`; torch's `AdamW` has the corrections in float64, the compensated one in float32
 * @returns `[4]`, float32
 */
export function adamwScalars(
  { step, learningRate, weightDecay, scale }: AdamWStep,
  { betas }: AdamWConstants,
  compensated: boolean,
): tf.Tensor1D {
  const f = compensated ? Math.fround : Number;
  const [first, second] = betas.map((beta) => f(1 - f(f(beta) ** step))) as [number, number];
  return tf.tensor1d([
    scale,
    1 - learningRate * weightDecay,
    f(f(1 / first) * f(learningRate)),
    f(Math.sqrt(second)),
  ]);
}

/**
 * One step of AdamW (Loshchilov and Hutter 2019, algorithm 2, as torch.optim.AdamW computes it), in place.
 *
 * @param gradient of the parameter's shape
 * @param scalars as `adamwScalars` makes them
 * @param decays whether the parameter decays
 */
export function adamw(
  { parameter, mean, square }: AdamWState,
  gradient: tf.Tensor,
  scalars: tf.Tensor1D,
  decays: boolean,
  { betas: [beta1, beta2], epsilon }: AdamWConstants,
): void {
  const [scale, left, stepSize, correction] = split(scalars);
  const g = gradient.mul(scale);
  const m = mean.read();
  const nextMean = m.add(g.sub(m).mul(1 - beta1));
  const nextSquare = square
    .read()
    .mul(beta2)
    .add(g.square().mul(1 - beta2));
  const p = decays ? parameter.read().mul(left) : parameter.read();
  const denominator = nextSquare.sqrt().div(correction).add(epsilon);
  mean.assign(nextMean);
  square.assign(nextSquare);
  parameter.assign(p.sub(nextMean.mul(stepSize).div(denominator)));
}

/**
 * The same for bfloat16 parameters and moments with Kahan's compensation: what rounding loses of an update is kept and
 * added to the next (Kahan 1965). Every rounding is that of torch's bfloat16 arithmetic, with `1 - beta1` in float32 as
 * on a GPU (test/goldens/make/make_tapo.py, `kahan_step`).
 */
export function kahanAdamw(
  { parameter, mean, square, compensation }: Required<AdamWState>,
  gradient: tf.Tensor,
  scalars: tf.Tensor1D,
  decays: boolean,
  { betas: [beta1, beta2], epsilon }: AdamWConstants,
): void {
  const [scale, left, stepSize, correction] = split(scalars);
  const b = roundToBfloat16;
  const g = gradient.mul(scale);
  const p = decays ? b(parameter.read().mul(left)) : parameter.read();
  const m = b(b(mean.read().mul(beta1)).add(rounded(g.mul(1 - beta1))));
  const v = b(b(square.read().mul(beta2)).add(rounded(g.mul(1 - beta2).mul(g))));
  const denominator = b(b(b(v.sqrt()).div(correction)).add(epsilon));
  const pending = b(compensation.read().sub(stepSize.mul(m).div(denominator)));
  const next = b(p.add(pending));
  mean.assign(m);
  square.assign(v);
  parameter.assign(next);
  compensation.assign(b(pending.add(b(p.sub(next)))));
}

const split = (scalars: tf.Tensor1D): [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor] =>
  tf.unstack(scalars) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];

const LARGEST_FLOAT32 = 3.4028234663852886e38;

/*
 * A product that is rounded before it is added to. XLA has one instruction for both that rounds once; a bound that
 * no finite product reaches keeps them apart.
 */
const rounded = (product: tf.Tensor): tf.Tensor => product.minimum(LARGEST_FLOAT32);
