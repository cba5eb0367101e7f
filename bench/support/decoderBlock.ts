import * as tf from '@tensorflow/tfjs';

/* B batch, L length, H hidden, N heads, D head size, F feed-forward. */
const [B, L, H, N, F] = [4, 256, 256, 8, 1024];
const D = H / N;

export const SHAPE: [number, number, number] = [B, L, H];

/** The block's parameters in the order in which it takes them; weights are [out, in]. */
export const PARAMETERS: readonly { name: string; shape: number[] }[] = [
  { name: 'input_norm', shape: [H] },
  { name: 'q', shape: [H, H] },
  { name: 'k', shape: [H, H] },
  { name: 'v', shape: [H, H] },
  { name: 'o', shape: [H, H] },
  { name: 'post_norm', shape: [H] },
  { name: 'gate', shape: [F, H] },
  { name: 'up', shape: [F, H] },
  { name: 'down', shape: [H, F] },
];

const rmsNorm = (x: tf.Tensor, weight: tf.Tensor): tf.Tensor =>
  x.mul(x.square().mean(-1, true).add(1e-6).rsqrt()).mul(weight);

const linear = (x_RI: tf.Tensor, weight_OI: tf.Tensor): tf.Tensor => tf.matMul(x_RI, weight_OI, false, true);

const heads = (x: tf.Tensor): tf.Tensor => x.reshape([B, L, N, D]).transpose([0, 2, 1, 3]);

/** A Qwen2-like decoder block without rotary positions and biases. `x`: [B, L, H]. */
export function decoderBlock(x: tf.Tensor, weights: tf.Tensor[]): tf.Tensor {
  const [inputNorm, q, k, v, o, postNorm, gate, up, down] = weights as [
    tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor,
  ]; // prettier-ignore
  const x_RH = x.reshape([B * L, H]);
  const h_RH = rmsNorm(x_RH, inputNorm);
  const [q_BNLD, k_BNLD, v_BNLD] = [q, k, v].map((weight) => heads(linear(h_RH, weight))) as [
    tf.Tensor, tf.Tensor, tf.Tensor,
  ]; // prettier-ignore
  const mask_LL = tf.linalg
    .bandPart(tf.ones([L, L]), -1, 0)
    .sub(1)
    .mul(1e9);
  const scores_BNLL = tf
    .matMul(q_BNLD, k_BNLD, false, true)
    .mul(D ** -0.5)
    .add(mask_LL);
  const a_BNLD = tf.matMul(tf.softmax(scores_BNLL), v_BNLD);
  const a_RH = a_BNLD.transpose([0, 2, 1, 3]).reshape([B * L, H]);
  const y_RH = x_RH.add(linear(a_RH, o));
  const h2_RH = rmsNorm(y_RH, postNorm);
  const g_RF = linear(h2_RH, gate);
  const z_RH = linear(g_RF.mul(g_RF.sigmoid()).mul(linear(h2_RH, up)), down);
  return y_RH.add(z_RH).reshape([B, L, H]);
}
