import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { rotaryFrequencies, rotate } from '../../src/ops/rotary.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import { assertCloseTo } from '../support/closeTo.ts';
import { GOLDENS } from '../support/safetensors.ts';

interface Values {
  shape: number[];
  values: number[];
}
interface Goldens {
  rotations: { inputs: [Values]; others: [Values, Values]; dy: Values; y: Values; grads: [Values] }[];
  frequencies: { theta: number; dim: number; values: number[] }[];
}
const { rotations, frequencies } = JSON.parse(
  readFileSync(new URL('ops/rotary.json', GOLDENS), 'utf8'),
) as Goldens;

const tensor = ({ values, shape }: Values): tf.Tensor => tf.tensor(values, shape);

describe('rotaryFrequencies', () => {
  // torch's vectorised power is not always rounded correctly: one of the decoder's 64 has another last bit.
  it.each(frequencies)(
    'gives the float32 numbers of torch for $dim components, to the last bit',
    ({ theta, dim, values }) => {
      const actual = rotaryFrequencies(theta, dim);
      expect(actual).toHaveLength(values.length);
      const bits = new Int32Array(actual.buffer);
      const expected = new Int32Array(Float32Array.from(values).buffer);
      const distances = Array.from(bits, (bit, i) => Math.abs(bit - (expected[i] as number)));
      expect(Math.max(...distances)).toBeLessThanOrEqual(1);
      expect(distances.filter((distance) => distance > 0).length).toBeLessThanOrEqual(1);
    },
  );
});

onEveryBackend(() => {
  const gradient = (dy: tf.Tensor, x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor[] => {
    const { value, grads } = tf.valueAndGrads((input: tf.Tensor) => rotate(input, cos, sin))([x], dy);
    return [value, ...grads];
  };

  describe.each(
    rotations.map((golden) => ({
      golden,
      name: `x [${golden.inputs[0].shape.join()}], cos [${golden.others[0].shape.join()}]`,
    })),
  )('$name', ({ golden }) => {
    it.each(['eager', 'graph', 'xla'])('gives the values and gradients of torch, %s', (way) => {
      using compiled = compile(gradient, { xla: way === 'xla' });
      const run = way === 'eager' ? gradient : compiled;
      const [cos, sin] = golden.others.map(tensor) as [tf.Tensor, tf.Tensor];
      const [y, dx] = run(tensor(golden.dy), tensor(golden.inputs[0]), cos, sin) as [tf.Tensor, tf.Tensor];
      assertCloseTo(y.dataSync(), golden.y.values, 4, 'y');
      assertCloseTo(dx.dataSync(), golden.grads[0].values, 4, 'dx');
    });
  });

  it('keeps the angles for the gradient, where they are freed by then', () => {
    const [x, angle] = [tf.tensor4d([3, 4], [1, 1, 1, 2]), tf.tensor4d([Math.PI / 2], [1, 1, 1, 1])];
    const turned = (input: tf.Tensor): tf.Tensor =>
      tf.tidy(() => {
        const [cos, sin] = [angle.cos(), angle.sin()];
        const y = rotate(input, cos, sin);
        tf.dispose([cos, sin]);
        return y;
      });
    const dx = tf.grad(turned)(x, tf.tensor4d([1, 2], [1, 1, 1, 2]));
    assertCloseTo(dx.dataSync(), [2, -1], 2, 'dx');
  });
});
