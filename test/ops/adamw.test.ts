import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import {
  adamw,
  type AdamWConstants,
  adamwScalars,
  type AdamWState,
  kahanAdamw,
} from '../../src/ops/adamw.ts';
import { compile, Variable } from '../../src/runtime/index.ts';
import { onEveryBackend, useBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

const CONSTANTS: AdamWConstants = { betas: [0.9, 0.999], epsilon: 1e-8 };
const STEPS = 10;
const golden = readGolden(new URL('tapo/kahan_adamw.safetensors', GOLDENS));
/* As `wd0.01_lr1e-6`. */
const RUNS = Object.keys(golden).flatMap((key) => (key.endsWith('.param.0') ? [key.slice(0, -8)] : []));
const STORED = {
  parameter: 'param',
  mean: 'exp_avg',
  square: 'exp_avg_sq',
  compensation: 'compensation',
} as const;
const PARTS = Object.keys(STORED) as (keyof typeof STORED)[];

const variable = (values: ArrayLike<number>, dtype: 'float32' | 'bfloat16'): Variable => {
  const value = tf.tensor1d(Array.from(values));
  const made = Variable.fromTensor(value, { dtype });
  value.dispose();
  return made;
};
const valuesOf = (kept: Variable): number[] => {
  const value = kept.read();
  const values = [...value.dataSync()];
  value.dispose();
  return values;
};

/* Parameters with all that AdamW keeps, from 0. */
function stateOf(start: ArrayLike<number>, dtype: 'float32' | 'bfloat16'): Required<AdamWState> {
  const zeros = new Float32Array(start.length);
  return {
    parameter: variable(start, dtype),
    mean: variable(zeros, dtype),
    square: variable(zeros, dtype),
    compensation: variable(zeros, 'bfloat16'),
  };
}
const disposeAll = (state: Required<AdamWState>): void => {
  for (const part of PARTS) state[part].dispose();
};
/* How many of two rows of numbers are not the same bits (but for the sign of 0). */
const differing = (a: readonly number[], b: ArrayLike<number>): number =>
  a.filter((x, i) => x !== b[i]).length;

const update = (
  state: Required<AdamWState>,
  gradient: tf.Tensor,
  scalars: tf.Tensor1D,
  decays: boolean,
): void => {
  kahanAdamw(state, gradient, scalars, decays, CONSTANTS);
};

onEveryBackend((backend) => {
  const ways = [
    { name: 'op by op', step: update },
    ...(backend === 'tensorflow' ? [{ name: 'under XLA', step: compile(update, { xla: true }) }] : []),
  ];
  describe.each(ways)('kahanAdamw $name', ({ step }) => {
    it.each(RUNS)('keeps the bits that torch keeps: %s', (run) => {
      const numbers = (name: string): Float32Array =>
        Float32Array.from((golden[`${run}.${name}`] as Golden).data);
      const [, weightDecay = 0, learningRate = 0] = (/^wd(.+)_lr(.+)$/.exec(run) ?? []).map(Number);
      const state = stateOf(numbers('param.0'), 'bfloat16');
      for (let i = 1; i <= STEPS; i++) {
        const gradient = tf.tensor1d(numbers(`grad.${i}`));
        const scalars = adamwScalars({ step: i, learningRate, weightDecay, scale: 1 }, CONSTANTS, true);
        tf.tidy(() => {
          step(state, gradient, scalars, weightDecay > 0);
        });
        for (const part of PARTS) {
          const expected = numbers(`float32_alpha.${STORED[part]}.${i}`);
          expect(differing(valuesOf(state[part]), expected), `${part} after step ${i}`).toBe(0);
        }
        tf.dispose([gradient, scalars]);
      }
      disposeAll(state);
    });
  });

  it('adamw follows the formula of the paper, with decay and without', () => {
    const gradients = [
      [0.5, -0.2, 3],
      [-0.1, -0.7, 0],
      [0.9, 1e-4, -2],
    ];
    for (const decays of [true, false]) {
      const start = [0.3, -0.7, 1.1];
      const state = stateOf(start, 'float32');
      const expected = start.map((p) => ({ p, m: 0, v: 0 }));
      gradients.forEach((row, i) => {
        const [learningRate, weightDecay, scale, t] = [0.01 * (i + 1), 0.1, 0.5, i + 1];
        const scalars = adamwScalars({ step: t, learningRate, weightDecay, scale }, CONSTANTS, false);
        const gradient = tf.tensor1d(row);
        tf.tidy(() => {
          adamw(state, gradient, scalars, decays, CONSTANTS);
        });
        tf.dispose([scalars, gradient]);
        expected.forEach((one, k) => {
          const g = scale * (row[k] as number);
          one.m = 0.9 * one.m + 0.1 * g;
          one.v = 0.999 * one.v + 0.001 * g * g;
          const step = one.m / (1 - 0.9 ** t) / (Math.sqrt(one.v / (1 - 0.999 ** t)) + 1e-8);
          one.p -= learningRate * (step + (decays ? weightDecay : 0) * one.p);
        });
      });
      valuesOf(state.parameter).forEach((p, k) => {
        expect(Math.abs(p - (expected[k]?.p ?? NaN))).toBeLessThan(1e-6);
      });
      disposeAll(state);
    }
  });
});

describe('kahanAdamw on tensorflow', () => {
  useBackend('tensorflow');

  it('rounds clipped gradients of all sizes under XLA as it does op by op', () => {
    const size = 1 << 16;
    const start = tf.randomNormal([size], 0, 0.02, 'float32', 1).dataSync();
    const states = [stateOf(start, 'bfloat16'), stateOf(start, 'bfloat16')] as const;
    const compiled = compile(update, { xla: true });
    for (let i = 1; i <= 3; i++) {
      const [normal, exponent] = [tf.randomNormal([size], 0, 1, 'float32', 2 * i), tf.randomUniform([size], -20, 2, 'float32', 3 * i)]; // prettier-ignore
      const gradient = normal.mul(exponent.exp());
      const scalars = adamwScalars(
        { step: i, learningRate: 1e-3, weightDecay: 0.1, scale: 0.37 },
        CONSTANTS,
        true,
      );
      tf.tidy(() => {
        update(states[0], gradient, scalars, true);
      });
      compiled(states[1], gradient, scalars, true);
      for (const part of PARTS) {
        expect(differing(valuesOf(states[0][part]), valuesOf(states[1][part])), `${part} after step ${i}`).toBe(0); // prettier-ignore
      }
    }
    for (const state of states) disposeAll(state);
    compiled.dispose();
  });
});
