import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { compile, linear, uniform, Variable } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';

const [WIDTH, OUT] = [24, 40];

/* The largest difference. */
const errorOf = (actual: tf.Tensor, expected: tf.Tensor): number =>
  actual.sub(expected).abs().max().dataSync()[0] as number;

onEveryBackend(() => {
  describe.each(['float32', 'bfloat16', 'float16'] as const)('linear by a weight kept in %s', (dtype) => {
    // One row, few and many go different ways.
    it.each([1, 2, 32, 33])('multiplies %i rows, with the gradient of x, eager and compiled', (rows) => {
      using weight = Variable.fromTensor(uniform([1, rows], [OUT, WIDTH]).sub(0.5), { dtype });
      const x = uniform([2, rows], [rows, WIDTH]).sub(0.5);
      const kept = weight.read() as tf.Tensor2D;
      for (const compute of ['float32', 'bfloat16'] as const) {
        const body = (input: tf.Tensor): tf.Tensor[] => [
          linear(input, weight, { compute }),
          tf.grad((z: tf.Tensor) => linear(z, weight, { compute }).square().sum().div(2))(input),
        ];
        using graph = compile(body, { xla: false });
        using xla = compile(body, { xla: true });
        const y = tf.matMul(x, kept, false, true);
        const expected = [y, tf.matMul(y, kept)];
        // bf16 keeps 8 bits of x and of dy: a product of n terms errs by about 2^-9 sqrt(n) of a term.
        const tolerance = compute === 'bfloat16' ? 0.02 : 1e-5;
        for (const results of [body(x), graph(x), xla(x)]) {
          results.forEach((result, i) => {
            const error = errorOf(result, expected[i] as tf.Tensor);
            expect(error).toBeLessThan(tolerance);
          });
        }
      }
    });
  });

  // Where XLA multiplies by 16 bits, a wide row goes in parts, if its width has such.
  it.each([4096, 6000, 9001])('multiplies a row of %i numbers', (width) => {
    const values = uniform([1, 3], [7, width]).sub(0.5);
    const x = uniform([1, 4], [1, width]).sub(0.5);
    for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
      using weight = Variable.fromTensor(values, { dtype });
      using graph = compile((input: tf.Tensor) => linear(input, weight), { xla: false });
      const expected = tf.matMul(x, weight.read(), false, true);
      expect(errorOf(graph(x), expected)).toBeLessThan(1e-4);
      expect(errorOf(linear(x, weight), expected)).toBeLessThan(1e-4);
    }
  });

  it('keeps the leading dimensions', () => {
    using weight = Variable.fromTensor(tf.ones([OUT, WIDTH]));
    expect(linear(tf.ones([2, 3, WIDTH]), weight).shape).toEqual([2, 3, OUT]);
    expect(linear(tf.ones([WIDTH]), weight).shape).toEqual([OUT]);
  });

  it('refuses shapes that do not fit', () => {
    using weight = Variable.fromTensor(tf.ones([OUT, WIDTH]), { name: 'q_proj' });
    expect(() => linear(tf.ones([2, OUT]), weight)).toThrow(
      /x is \[2, 40\] and the weight q_proj is \[40, 24\]/,
    );
  });
});
