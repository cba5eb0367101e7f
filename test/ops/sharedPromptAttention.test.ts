import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { causalAttention } from '../../src/ops/causalAttention.ts';
import { sharedPromptAttention } from '../../src/ops/sharedPromptAttention.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';

const [F, P, G, N, K, D] = [2, 7, 3, 4, 2, 8];
const LENGTHS = [7, 4];

/* Each response behind its own copy of the prompt, without padding: the outputs at its tokens, and at the prompt's. */
function unshared(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, responseLength: number): tf.Tensor {
  const rows = [q, k, v].map((x) =>
    LENGTHS.flatMap((length, f) =>
      Array.from({ length: G }, (_, g) => {
        const heads = x.shape[1] as number;
        const prompt = x.slice([0, 0, f * P, 0], [1, heads, length, D]);
        const from = F * P + (f * G + g) * responseLength;
        return tf.concat([prompt, x.slice([0, 0, from, 0], [1, heads, responseLength, D])], 2);
      }),
    ),
  ) as [tf.Tensor[], tf.Tensor[], tf.Tensor[]];
  const outs = rows[0].map((row, i) =>
    causalAttention(row, rows[1][i] as tf.Tensor, rows[2][i] as tf.Tensor),
  );
  return tf.concat(
    outs.map((out, i) =>
      out.slice([0, 0, LENGTHS[Math.floor(i / G)] as number, 0], [1, N, responseLength, D]),
    ),
    2,
  );
}

describe.each([5, 260])('responses of %d places', (responseLength) => {
  const shape = { prompts: F, promptLength: P, samples: G, responseLength };
  const places = F * P + F * G * responseLength;
  const waves = (dims: number[], step: number): tf.Tensor =>
    tf.range(0, tf.util.sizeFromShape(dims), 1).mul(step).sin().mul(2).reshape(dims);
  const inputs = (): [tf.Tensor, tf.Tensor, tf.Tensor] => [
    waves([1, N, places, D], 0.7),
    waves([1, K, places, D], 1.3),
    waves([1, K, places, D], 0.9),
  ];
  onEveryBackend(() => {
    it('is causal attention behind a copy of the prompt, with its gradients', () => {
      const lengths = tf.tensor1d(LENGTHS, 'int32');
      const ofResponses = (out: tf.Tensor): tf.Tensor =>
        out.slice([0, 0, F * P, 0], [1, N, F * G * responseLength, D]);
      const shared = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor =>
        ofResponses(sharedPromptAttention(q, k, v, lengths, shape));
      const expected = unshared(...inputs(), responseLength);
      const dy = waves(expected.shape, 0.31);
      for (const xla of [false, true]) {
        using both = compile(
          (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, d: tf.Tensor) => {
            const { value, grads } = tf.valueAndGrads(shared)([q, k, v], d);
            return [value, ...grads];
          },
          { xla },
        );
        const [value, ...grads] = both(...inputs(), dy);
        const reference = tf.grads((q, k, v) => unshared(q, k, v, responseLength))(inputs(), dy);
        [expected, ...reference].forEach((tensor, i) => {
          const found = [value, ...grads][i] as tf.Tensor;
          expect(found.shape).toEqual(tensor.shape);
          const error = found.sub(tensor).abs().max().dataSync()[0] as number;
          expect(error, ['output', 'dq', 'dk', 'dv'][i]).toBeLessThan(2e-5);
        });
      }
    });

    it("is causal attention at the prompt's own tokens", () => {
      const [q, k, v] = inputs();
      const out = sharedPromptAttention(q, k, v, tf.tensor1d(LENGTHS, 'int32'), shape);
      for (const [f, length] of LENGTHS.entries()) {
        const of = (x: tf.Tensor): tf.Tensor =>
          x.slice([0, 0, f * P, 0], [1, x.shape[1] as number, length, D]);
        const error = of(out)
          .sub(causalAttention(of(q), of(k), of(v)))
          .abs()
          .max()
          .dataSync()[0] as number;
        expect(error).toBeLessThan(1e-5);
      }
    });
  });
});
