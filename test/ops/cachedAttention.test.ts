import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { attention } from '../../src/ops/attention.ts';
import { cachedAttention } from '../../src/ops/cachedAttention.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';

const [B, N, K, S, D] = [3, 6, 2, 20, 8];

onEveryBackend(() => {
  it.each(['products', 'sums'] as const)('is the attention of one query a row, as %s', (products) => {
    const waves = (shape: number[], step: number): tf.Tensor =>
      tf.range(0, tf.util.sizeFromShape(shape), 1).mul(step).sin().mul(2).reshape(shape);
    const [q, k, v] = [waves([B, N, 1, D], 0.7), waves([B, K, S, D], 1.3), waves([B, K, S, D], 0.9)];
    // Rows see 3, 11 and 20 slots.
    const seen = tf.tensor2d([3, 11, 20], [B, 1], 'int32');
    const bias = tf.where(tf.range(0, S, 1, 'int32').less(seen), 0, -1e9).reshape([B, 1, 1, S]);
    const expected = attention(q, k, v, bias).dataSync();
    const keys = k.transpose([0, 1, 3, 2]).reshape([B, K * D, S]);
    const values = v.transpose([0, 2, 1, 3]).reshape([B, S, K * D]);
    for (const xla of [false, true]) {
      using compiled = compile(cachedAttention, { xla });
      const result = compiled(q, keys, values, bias, products);
      expect(result.shape).toEqual([B, N, 1, D]);
      result.dataSync().forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] as number, 5);
      });
    }
  });
});
