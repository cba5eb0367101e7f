import * as tf from '@tensorflow/tfjs';
import { linear, linearByTensor } from '../runtime/linear.ts';
import type { Compute } from '../runtime/tensorflow/multiply.ts';
import type { Variable } from '../runtime/variable.ts';

/** A parameter: a variable is frozen (no gradient flows to it), a tensor is one that is being differentiated. */
export type Weight = Variable | tf.Tensor;

/** A linear layer, by Hugging Face's names, with the adapter that peft may have put on it. */
export interface LinearParameters {
  /** `[out, in]`; dimensions behind the first are taken as one */
  weight: Weight;
  /** `[out]` */
  bias?: Weight;
  /** a `[r, in]`, b `[out, r]` */
  lora?: { a: Weight; b: Weight; scaling: number };
}

/** The value of a parameter. */
export const valueOf = (weight: Weight): tf.Tensor => (weight instanceof tf.Tensor ? weight : weight.read());

/**
 * Applies a linear layer: `x W^T + b`, and `scaling (x A^T) B^T` of an adapter (Hu et al. 2021).
 *
 * @param x `[..., in]`
 * @returns `[..., out]`
 */
export function project(x: tf.Tensor, { weight, bias, lora }: LinearParameters, compute: Compute): tf.Tensor {
  let y = multiply(x, weight, compute);
  if (bias !== undefined) y = y.add(valueOf(bias));
  if (lora === undefined) return y;
  return y.add(multiply(multiply(x, lora.a, 'float32'), lora.b, 'float32').mul(lora.scaling));
}

/** `x W^T` for a weight `[out, ...in]` that is frozen or differentiated. */
export function multiply(x: tf.Tensor, weight: Weight, compute: Compute): tf.Tensor {
  const out = weight.shape[0];
  const width = x.shape.at(-1) as number;
  if (!(weight instanceof tf.Tensor) && weight.shape.length === 2) return linear(x, weight, { compute });
  const matrix = valueOf(weight).reshape<tf.Tensor2D>([out, width]);
  const rows = x.reshape<tf.Tensor2D>([-1, width]);
  return linearByTensor(rows, matrix, compute).reshape([...x.shape.slice(0, -1), out]);
}
