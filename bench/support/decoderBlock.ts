import * as tf from '@tensorflow/tfjs';
import { causalAttention } from '../../src/ops/causalAttention.ts';
import { rmsNorm } from '../../src/ops/rmsNorm.ts';
import { swiglu } from '../../src/ops/swiglu.ts';

/* B batch, L length, H hidden, N heads, D head size, F feed-forward. */
const [B, L, H, N, F] = [4, 256, 256, 8, 1024];

/** The tensors of the benchmark in the order in which its functions take them; weights are [out, in]. */
export const TENSORS: readonly { name: string; shape: number[] }[] = [
  { name: 'x', shape: [B, L, H] },
  { name: 'input_norm', shape: [H] },
  { name: 'q', shape: [H, H] },
  { name: 'k', shape: [H, H] },
  { name: 'v', shape: [H, H] },
  { name: 'o', shape: [H, H] },
  { name: 'post_norm', shape: [H] },
  { name: 'gate', shape: [F, H] },
  { name: 'up', shape: [F, H] },
  { name: 'down', shape: [H, F] },
  { name: 'dy', shape: [B, L, H] },
];

const linear = (x: tf.Tensor, weight: tf.Tensor): tf.Tensor => tf.matMul(x, weight, false, true);

/** A decoder block as Qwen2's, without rotary positions and biases. `x`: [batch, L, H], returned in that shape. */
export function decoderBlock(x: tf.Tensor, ...weights: tf.Tensor[]): tf.Tensor {
  const [inputNorm, q, k, v, o, postNorm, gate, up, down] = weights as Weights;
  const x_RH = x.reshape([-1, H]);
  const h_RH = rmsNorm(x_RH, inputNorm);
  const heads = (weight: tf.Tensor): tf.Tensor =>
    linear(h_RH, weight)
      .reshape([-1, L, N, H / N])
      .transpose([0, 2, 1, 3]);
  const a_BNLD = causalAttention(heads(q), heads(k), heads(v));
  const a_RH = a_BNLD.transpose([0, 2, 1, 3]).reshape([-1, H]);
  const y_RH = x_RH.add(linear(a_RH, o));
  const h2_RH = rmsNorm(y_RH, postNorm);
  const z_RF = swiglu(linear(h2_RH, gate), linear(h2_RH, up));
  return y_RH.add(linear(z_RF, down)).reshape(x.shape);
}
type Weights = [
  inputNorm: tf.Tensor,
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  o: tf.Tensor,
  postNorm: tf.Tensor,
  gate: tf.Tensor,
  up: tf.Tensor,
  down: tf.Tensor,
];

/** The same, the batch in `parts` that do not depend on one another, so that each can have a core to itself. */
export const splitBlock =
  (parts: number) =>
  (x: tf.Tensor, ...weights: tf.Tensor[]): tf.Tensor =>
    tf.concat(
      tf.split(x, parts).map((part) => decoderBlock(part, ...weights)),
      0,
    );
