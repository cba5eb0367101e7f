import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { attention } from '../../src/ops/attention.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import { assertCloseTo } from '../support/closeTo.ts';
import { GOLDENS } from '../support/safetensors.ts';

interface Values {
  shape: number[];
  values: number[];
}
interface Case {
  /** q, k, v */
  inputs: [Values, Values, Values];
  /** the bias, if there is one */
  others: [Values?];
  dy: Values;
  y: Values;
  grads: Values[];
}
const CASES = JSON.parse(readFileSync(new URL('ops/attention.json', GOLDENS), 'utf8')) as Case[];
const NAMES = ['y', 'dq', 'dk', 'dv'];

const tensor = ({ values, shape }: Values): tf.Tensor => tf.tensor(values, shape);

/* y, and the gradients of q, k and v. */
function attentionAndGradients(
  dy: tf.Tensor,
  qkv: readonly tf.Tensor[],
  bias: tf.Tensor | undefined,
): tf.Tensor[] {
  const { value, grads } = tf.valueAndGrads((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
    attention(q, k, v, bias),
  )([...qkv], dy);
  return [value, ...grads];
}

onEveryBackend(() => {
  const named = CASES.map((golden) => {
    const [q, k] = golden.inputs;
    const bias = golden.others.length > 0 ? ', some keys hidden' : '';
    return { golden, name: `q [${q.shape.join()}], k [${k.shape.join()}]${bias}` };
  });
  describe.each(named)('$name', ({ golden }) => {
    it.each(['eager', 'graph', 'xla'])('gives the values and gradients of torch, %s', (way) => {
      using compiled = compile(attentionAndGradients, { xla: way === 'xla' });
      const run = way === 'eager' ? attentionAndGradients : compiled;
      const bias = golden.others[0] && tensor(golden.others[0]);
      const results = run(tensor(golden.dy), golden.inputs.map(tensor), bias);
      [golden.y, ...golden.grads].forEach(({ values }, i) => {
        // Where a query sees one key only, its gradient is 0 as the difference of two equal sums of products.
        assertCloseTo((results[i] as tf.Tensor).dataSync(), values, 32, NAMES[i]);
      });
    });
  });

  it('stays finite where a row sees no key, and leaves the other rows as they are', () => {
    const [q, k, v, dy] = [0, 1, 2, 3].map((phase) =>
      tf.range(0, 48).mul(0.7).add(phase).sin().reshape([2, 1, 6, 4]),
    ) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const bias = tf.concat([tf.zeros([1, 1, 1, 6]), tf.fill([1, 1, 1, 6], -1e9)]);
    const first = (x: tf.Tensor): tf.Tensor => x.slice([0, 0, 0, 0], [1, 1, 6, 4]);
    const both = attentionAndGradients(dy, [q, k, v], bias);
    const alone = attentionAndGradients(first(dy), [q, k, v].map(first), undefined);
    both.forEach((result, i) => {
      expect([...result.dataSync()].every(Number.isFinite), NAMES[i]).toBe(true);
      assertCloseTo(first(result).dataSync(), [...(alone[i] as tf.Tensor).dataSync()], 4, NAMES[i]);
    });
  });

  it('gives the same in chunks of queries, where there are too many scores for one', () => {
    const [length, keys] = [6144, 5504]; // just more than 2^25 scores, so chunks of unequal size
    const x = (rows: number, phase: number): tf.Tensor =>
      tf.range(0, 2 * rows).mul(0.37).add(phase).sin().reshape([1, 1, rows, 2]); // prettier-ignore
    const [q, k, v] = [x(length, 0), x(keys, 1), x(keys, 2)];
    const dy = x(length, 3);
    const half = (t: tf.Tensor, i: number): tf.Tensor => t.split(2, 2)[i] as tf.Tensor;
    const whole = attentionAndGradients(dy, [q, k, v], undefined);
    const halves = [0, 1].map((i) => attentionAndGradients(half(dy, i), [half(q, i), k, v], undefined)); // prettier-ignore
    const [first, second] = halves as [tf.Tensor[], tf.Tensor[]];
    whole.forEach((result, i) => {
      const [a, b] = [first[i] as tf.Tensor, second[i] as tf.Tensor];
      // Queries have gradients of their own; those of a key come from all of them.
      const expected = i < 2 ? tf.concat([a, b], 2) : a.add(b);
      assertCloseTo(result.dataSync(), [...expected.dataSync()], 256, NAMES[i]);
    });
  });
});
