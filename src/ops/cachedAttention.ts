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
 * Keys lie with their slots last: both products then run along contiguous memory.
 *
 * @param q `[B, N, 1, D]`
 * @param k `[B, K, D, S]`, K a divisor of N
 * @param v `[B, K, S, D]`
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
  const keyHeads = k.shape[1] as number;
  const q_BKGD = q.mul(1 / Math.sqrt(headSize)).reshape([batch, keyHeads, heads / keyHeads, headSize]);
  const multiply = products === 'sums' ? multiplyBySums : tf.matMul;
  const weights_BKGS = tf.softmax(multiply(q_BKGD, k).add(bias));
  return multiply(weights_BKGS, v).reshape([batch, heads, 1, headSize]);
}

/* [B, K, G, I] by [B, K, I, O] */
function multiplyBySums(x: tf.Tensor, y: tf.Tensor): tf.Tensor {
  return x.expandDims(4).mul(y.expandDims(2)).sum(3);
}
