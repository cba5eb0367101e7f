import * as tf from '@tensorflow/tfjs';

// Scores that exist at once, at most.
const SCORES_AT_ONCE = 2 ** 25;

/**
 * Attention over all keys that a bias leaves, `softmax(q k^T / sqrt(D) + bias) v`. Several query heads may share a
 * key and value head (grouped-query attention): head n reads `n K / N`.
 *
 * @param q `[B, N, L, D]`
 * @param k `[B, K, S, D]`, K a divisor of N
 * @param v `[B, K, S, D]`
 * @param bias `[B, 1, 1, S]`: 0 at keys that are seen, very negative at others; undefined: all are seen
 * @returns `[B, N, L, D]`
 */
export function attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, bias: tf.Tensor | undefined): tf.Tensor {
  const [batch, heads, length, headSize] = q.shape as [number, number, number, number];
  const [, keyHeads, slots] = k.shape as [number, number, number, number];
  const group = heads / keyHeads;
  // The queries of a group are rows that see the same keys.
  const q_BKGLD = q.mul(1 / Math.sqrt(headSize)).reshape([batch, keyHeads, group * length, headSize]);
  const rows = group * length;
  const size = Math.max(1, Math.min(rows, Math.floor(SCORES_AT_ONCE / (batch * keyHeads * slots))));
  const parts = Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
    const count = Math.min(size, rows - i * size);
    const part =
      count === rows ? q_BKGLD : q_BKGLD.slice([0, 0, i * size, 0], [batch, keyHeads, count, headSize]);
    const scores = tf.matMul(part, k, false, true);
    return tf.matMul(tf.softmax(bias === undefined ? scores : scores.add(bias)), v);
  });
  const out = parts.length === 1 ? (parts[0] as tf.Tensor) : tf.concat(parts, 2);
  return out.reshape([batch, heads, length, headSize]);
}
