import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, it } from 'vitest';
import { causalAttention } from '../../src/ops/causalAttention.ts';
import { rmsNorm } from '../../src/ops/rmsNorm.ts';
import { swiglu } from '../../src/ops/swiglu.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import { assertCloseTo } from '../support/closeTo.ts';

interface Golden {
  shape: number[];
  values: number[];
}
interface Case {
  op: string;
  inputs: Golden[];
  dy: Golden;
  y: Golden;
  grads: Golden[];
}
const FILE = new URL('../goldens/ops/model_ops.json', import.meta.url);
const CASES = JSON.parse(readFileSync(FILE, 'utf8')) as Case[];

const OPS: Record<string, (...inputs: tf.Tensor[]) => tf.Tensor> = {
  rmsNorm: (x, weight) => rmsNorm(x, weight),
  swiglu: (gate, up) => swiglu(gate, up),
  causalAttention: (q, k, v) => causalAttention(q, k, v),
};

// The first query's gradient is 0 as the difference of two equal sums of products, whose rounding stays (28 of these
// units seen); all else is within 8. Rounding grows as the root of the number of terms.
const ulpsFor = (terms: number): number => Math.max(32, 4 * Math.sqrt(terms));

onEveryBackend(() => {
  describe.each(
    CASES.map((golden) => ({ golden, name: `${golden.op} [${golden.inputs[0]?.shape.join() ?? ''}]` })),
  )('$name', ({ golden }) => {
    const op = OPS[golden.op] as (...inputs: tf.Tensor[]) => tf.Tensor;
    const tensor = ({ values, shape }: Golden): tf.Tensor => tf.tensor(values, shape);
    const gradient = (dy: tf.Tensor, ...inputs: tf.Tensor[]): tf.Tensor[] => {
      const { value, grads } = tf.valueAndGrads(op)(inputs, dy);
      return [value, ...grads];
    };

    it.each(['eager', 'graph', 'xla'])('gives the values and gradients of torch, %s', (way) => {
      using compiled = compile(gradient, { xla: way === 'xla' });
      const run = way === 'eager' ? gradient : compiled;
      const results = run(tensor(golden.dy), ...golden.inputs.map(tensor));
      [golden.y, ...golden.grads].forEach(({ values }, i) => {
        assertCloseTo(
          (results[i] as tf.Tensor).dataSync(),
          values,
          ulpsFor(golden.y.shape.at(-2) ?? 1),
          i === 0 ? 'y' : `gradient ${i - 1}`,
        );
      });
    });
  });
});
