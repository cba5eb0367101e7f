import * as tf from '@tensorflow/tfjs';

/**
 * How the products with a cache are computed. XLA on a CPU takes about 20 µs for a product of matrices, however small:
 * for a few heads, sums over what is multiplied element by element are faster; for many, or as a graph, products are.
 */
export type CachedProducts = 'products' | 'sums';

/**
 * Attention of one query a row over a cache, `softmax(q k / sqrt(D) + bias) v`. Several query heads may share a key and
 * value head (grouped-query attention): head n reads `n K / N`.
 *
 * As products, a row's heads are one product: each query stands at the place of its key head, with zeros at the others.
 *
 * @param q `[B, N, 1, D]`
 * @param k `[B, K D, S]`, K a divisor of N
 * @param v `[B, S, K D]`
 * @param bias `[B, 1, 1, S]`: 0 at slots that are seen, very negative at others
 * @returns `[B, N, 1, D]`
 */
export function cachedAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  bias: tf.Tensor,
  products: CachedProducts,
): tf.Tensor {
  const [batch, heads, , headSize] = q.shape as [number, number, number, number];
  const slots = k.shape[2] as number;
  const keyHeads = (k.shape[1] as number) / headSize;
  const q_BKGD = q.mul(1 / Math.sqrt(headSize)).reshape([batch, keyHeads, heads / keyHeads, headSize]);
  const attend = products === 'sums' ? bySums : byProducts;
  return attend(
    q_BKGD,
    k.reshape([batch, keyHeads, headSize, slots]),
    v.reshape([batch, slots, keyHeads, headSize]),
    bias,
  ).reshape([batch, heads, 1, headSize]);
}

type Attend = (q_BKGD: tf.Tensor, k_BKDS: tf.Tensor, v_BSKD: tf.Tensor, bias: tf.Tensor) => tf.Tensor;

const bySums: Attend = (q_BKGD, k_BKDS, v_BSKD, bias) => {
  const scores_BKGS = q_BKGD.expandDims(4).mul(k_BKDS.expandDims(2)).sum(3).add(bias);
  return tf
    .softmax(scores_BKGS)
    .expandDims(4)
    .mul(v_BSKD.transpose([0, 2, 1, 3]).expandDims(2))
    .sum(3);
};

const byProducts: Attend = (q_BKGD, k_BKDS, v_BSKD, bias) => {
  const [batch, keyHeads, group, headSize] = q_BKGD.shape as [number, number, number, number];
  const slots = k_BKDS.shape[3] as number;
  const width = keyHeads * headSize;
  const own = tf.eye(keyHeads).reshape([1, keyHeads, 1, keyHeads, 1]);
  const rows = q_BKGD
    .expandDims(3)
    .mul(own)
    .reshape([batch, keyHeads * group, width]);
  const scores = tf.matMul(rows, k_BKDS.reshape([batch, width, slots])).add(bias.reshape([batch, 1, slots]));
  const out = tf.matMul(tf.softmax(scores), v_BSKD.reshape([batch, slots, width]));
  return out.reshape([batch, keyHeads, group, keyHeads, headSize]).mul(own).sum(3);
};
