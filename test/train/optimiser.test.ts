import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { Variable } from '../../src/runtime/index.ts';
import { lossAndGradients, trainableNames } from '../../src/train/loss.ts';
import { createOptimiser, type OptimiserConfig } from '../../src/train/optimiser.ts';
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

  describe('with a compensation', () => {
    const golden = readGolden(new URL('tapo/kahan_adamw.safetensors', GOLDENS));
    const runs = [
      ...new Set(
        Object.keys(golden).map((key) => key.slice(0, key.lastIndexOf('.', key.lastIndexOf('.') - 1))),
      ),
    ];
    it.each(runs.filter((name) => name.endsWith('.float32_alpha')))(
      '%s rounds as bfloat16 does',
      async (run) => {
        const read = (part: string, step: number): number[] => [
          ...(golden[`${run}.${part}.${step}`] as Golden).data,
        ];
        const base = run.replace('.float32_alpha', '');
        const [, weightDecay = 0, rate = 0] = (/wd([^_]+)_lr(.+)/.exec(base) ?? []).map(Number);
        const start = tf.tensor1d([...(golden[`${base}.param.0`] as Golden).data]);
        using parameter = Variable.fromTensor(start, { dtype: 'bfloat16' });
        start.dispose();
        const parameters = new Map([['w', parameter]]);
        const config = { ...CONFIG, weightDecay, clipNorm: Infinity, kahan: true };
        using optimiser = createOptimiser(parameters, config, true);
        for (let step = 1; step <= 10; step++) {
          const gradient = tf.tensor1d([...(golden[`${base}.grad.${step}`] as Golden).data]);
          await optimiser.update(new Map([['w', gradient]]), rate);
          const value = parameter.read();
          const expected = read('param', step);
          const wrong = [...value.dataSync()].filter((x, i) => x !== expected[i]);
          expect(wrong.length, `step ${step}`).toBeLessThanOrEqual(2);
          tf.dispose([gradient, value]);
        }
      },
    );
  });

  it('changes nothing where a gradient is not finite', async () => {
    const [value, gradient] = [tf.tensor1d([1, 2]), tf.tensor1d([1, NaN])];
    using parameter = Variable.fromTensor(value, { name: 'w' });
    using optimiser = createOptimiser(new Map([['w', parameter]]), CONFIG, true);
    const update = await optimiser.update(new Map([['w', gradient]]), 0.1);
    expect(update.applied).toBe(false);
    expect(optimiser.steps).toBe(0);
    const after = parameter.read();
    expect([...after.dataSync()]).toEqual([1, 2]);
    tf.dispose([value, gradient, after]);
  });

  it('goes on from saved moments as if it had never stopped', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-optimiser-'));
    const gradients = [0.5, -0.2, 0.9, 0.1].map((x) => tf.tensor1d([x, 2 * x, -x]));
    const train = async (stopAt?: number): Promise<number[]> => {
      const value = tf.tensor1d([0.3, -0.7, 1.1]);
      using parameter = Variable.fromTensor(value, { name: 'w', dtype: 'bfloat16' });
      value.dispose();
      const make = () =>
        createOptimiser(new Map([['w', parameter]]), { ...CONFIG, momentsDtype: 'bfloat16' }, true);
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
