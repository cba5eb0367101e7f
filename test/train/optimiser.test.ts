import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { Variable } from '../../src/runtime/index.ts';
import { lossAndGradients, trainableNames } from '../../src/train/loss.ts';
import { createOptimiser, decaysByName, type OptimiserConfig } from '../../src/train/optimiser.ts';
import { createVjp } from '../../src/train/vjp.ts';
import { loadGoldenModel, toInputs } from '../model/support.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

interface Step {
  loss: number;
  /** none after the last */
  grad_norm_before_clip?: number;
}
interface Run {
  steps: Step[];
  steps_f64: Step[];
  decayed: string[];
  not_decayed: string[];
}
const meta = JSON.parse(readFileSync(new URL('sft/meta.json', GOLDENS), 'utf8')) as Record<
  'frozen_vision' | 'all_trained',
  Run
>;
const file = readGolden(new URL('sft/inputs.safetensors', GOLDENS));
const inputs = {
  ...toInputs(file),
  labels: toInputs({ ...file, input_ids: file.labels as Golden }).inputIds,
};
const CONFIG: OptimiserConfig = { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 };
const CASES = [
  { run: 'frozen_vision', trained: ['^(?!visual)'], limit: 5e-5 },
  { run: 'all_trained', trained: 'all', limit: 2e-3 },
] as const;

/* Ten times what torch's own float32 run is off from its float64 run by, in the loss and (relatively) the norm. */
function limitsOf({ steps, steps_f64: exact }: Run): { loss: number; norm: number } {
  const largest = (error: (a: Step, b: Step) => number): number =>
    Math.max(...steps.slice(0, 3).map((step, i) => error(step, exact[i] as Step)));
  return {
    loss: 10 * largest((a, b) => Math.abs(a.loss - b.loss)),
    norm:
      10 * largest((a, b) => Math.abs((a.grad_norm_before_clip ?? 0) / (b.grad_norm_before_clip ?? 0) - 1)),
  };
}

/* The 99.9th percentile of the absolute differences. */
function percentile(differences: number[]): number {
  const sorted = Float64Array.from(differences).sort();
  return sorted[Math.floor(0.999 * (sorted.length - 1))] as number;
}

describe('decaysByName', () => {
  it.each(CASES)('leaves norms and biases out as the Trainer does: $run', ({ run }) => {
    const { decayed, not_decayed: not } = meta[run];
    expect([...decayed, ...not].filter(decaysByName).sort()).toEqual([...decayed].sort());
  });
});

onEveryBackend(() => {
  describe.each(CASES)('$run', ({ run, trained, limit }) => {
    it.each([true, false])('three steps end where torch ends; one function for all: %s', async (fused) => {
      using model = loadGoldenModel('tiny-a');
      const names = trainableNames(model, trained);
      const parameters = new Map([...model.parameters].filter(([name]) => names.has(name)));
      using optimiser = createOptimiser(parameters, CONFIG, fused);
      const vjp = createVjp(model);
      const limits = limitsOf(meta[run]);
      for (const { loss, grad_norm_before_clip: norm = 0 } of meta[run].steps.slice(0, 3)) {
        const result = await lossAndGradients(model, vjp, inputs, trained);
        expect(Math.abs(result.loss - loss)).toBeLessThan(limits.loss);
        const update = await optimiser.update(result.gradients, 1e-3);
        expect(update.applied).toBe(true);
        expect(Math.abs(update.norm / norm - 1)).toBeLessThan(limits.norm);
        tf.dispose([...result.gradients.values()]);
      }
      const expected = readGolden(new URL(`sft/params_after3_${run}.safetensors`, GOLDENS));
      expect([...parameters.keys()].sort()).toEqual(Object.keys(expected).sort());
      const differences = [...parameters].flatMap(([name, variable]) => {
        const value = variable.read();
        const data = [...value.dataSync()];
        value.dispose();
        return data.map((x, i) => Math.abs(x - ((expected[name] as Golden).data[i] as number)));
      });
      expect(percentile(differences)).toBeLessThan(limit);
    });
  });

  it('updates bfloat16 parameters with a compensation, to the bit', async () => {
    const golden = readGolden(new URL('tapo/kahan_adamw.safetensors', GOLDENS));
    const run = 'wd0.01_lr1e-6';
    const tensorOf = (name: string): tf.Tensor =>
      tf.tensor2d([...(golden[`${run}.${name}`] as Golden).data], [16, 16]);
    const start = tensorOf('param.0');
    using decayed = Variable.fromTensor(start, { dtype: 'bfloat16' });
    start.dispose();
    const config = { ...CONFIG, weightDecay: 0.01, clipNorm: Infinity, kahan: true };
    using optimiser = createOptimiser(new Map([['w.weight', decayed]]), config, true);
    for (let step = 1; step <= 10; step++) {
      const gradient = tensorOf(`grad.${step}`);
      await optimiser.update(new Map([['w.weight', gradient]]), 1e-6);
      const [value, expected] = [decayed.read(), tensorOf(`float32_alpha.param.${step}`)];
      expect([...value.dataSync()], `step ${step}`).toEqual([...expected.dataSync()]);
      tf.dispose([gradient, value, expected]);
    }
  });

  it('changes nothing where a gradient is not finite', async () => {
    const value = tf.tensor1d([1, 2]);
    using parameter = Variable.fromTensor(value, { name: 'w' });
    using spared = Variable.fromTensor(value, { name: 'spared' });
    const train = async (variable: Variable, rows: number[][]): Promise<number[]> => {
      using optimiser = createOptimiser(new Map([['w', variable]]), CONFIG, true);
      const applied: boolean[] = [];
      for (const row of rows) {
        const gradient = tf.tensor1d(row);
        applied.push((await optimiser.update(new Map([['w', gradient]]), 0.1)).applied);
        gradient.dispose();
      }
      expect(applied).toEqual(rows.map((row) => row.every(Number.isFinite)));
      expect(optimiser.steps).toBe(applied.filter(Boolean).length);
      const after = variable.read();
      const data = [...after.dataSync()];
      after.dispose();
      return data;
    };
    const [first, last] = [
      [1, -2],
      [0.5, 3],
    ] as const;
    // Moments and count of steps too: the step after is what it would have been.
    const withBad = await train(parameter, [[...first], [1, NaN], [Infinity, 0], [...last]]);
    expect(withBad).toEqual(await train(spared, [[...first], [...last]]));
    expect(withBad).not.toEqual([1, 2]);
    value.dispose();
  });

  it('says what is wrong with parameters, gradients and moments', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-optimiser-'));
    const file = join(folder, 'moments');
    const value = tf.tensor1d([1, 2]);
    using parameter = Variable.fromTensor(value);
    const make = (name: string, config: Partial<OptimiserConfig> = {}) =>
      createOptimiser(new Map([[name, parameter]]), { ...CONFIG, ...config }, true);
    expect(() => make('w', { kahan: true })).toThrow(/kahan .*bfloat16 weights, but w is float32/);
    using optimiser = make('w');
    await expect(optimiser.update(new Map([['v', value]]), 0.1)).rejects.toThrow(
      /no gradient of w among the 1/,
    );
    optimiser.save(file);
    using other = make('v');
    expect(() => {
      other.load(file, 1);
    }).toThrow(/other parameters .*2 are missing \(exp_avg\.v\), 2 are left over \(exp_avg\.w\)/);
    using halved = make('w', { momentsDtype: 'bfloat16' });
    expect(() => {
      halved.load(file, 1);
    }).toThrow(/exp_avg\.w is float32 \[2\]; expected bfloat16 \[2\]/);
    value.dispose();
    rmSync(folder, { recursive: true });
  });

  it.each([
    { dtype: 'float32' },
    { dtype: 'bfloat16', momentsDtype: 'bfloat16' },
    { dtype: 'bfloat16', kahan: true },
  ] as const)('goes on from saved moments as if it had never stopped: %o', async ({ dtype, ...kept }) => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-optimiser-'));
    const gradients = [0.5, -0.2, 0.9, 0.1].map((x) => tf.tensor1d([x, 2 * x, -x]));
    const train = async (stopAt?: number): Promise<number[]> => {
      const value = tf.tensor1d([0.3, -0.7, 1.1]);
      using parameter = Variable.fromTensor(value, { name: 'w', dtype });
      value.dispose();
      const make = () => createOptimiser(new Map([['w', parameter]]), { ...CONFIG, ...kept }, true);
      let optimiser = make();
      for (const [i, gradient] of gradients.entries()) {
        if (i === stopAt) {
          optimiser.save(join(folder, 'moments'));
          optimiser[Symbol.dispose]();
          optimiser = make();
          optimiser.load(join(folder, 'moments'), i);
        }
        await optimiser.update(new Map([['w', gradient]]), 0.05);
      }
      optimiser[Symbol.dispose]();
      const after = parameter.read();
      const data = [...after.dataSync()];
      after.dispose();
      return data;
    };
    expect(await train(2)).toEqual(await train());
    tf.dispose(gradients);
    rmSync(folder, { recursive: true });
  });
});
