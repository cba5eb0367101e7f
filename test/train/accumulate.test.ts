import { describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs';
import { createAccumulator } from '../../src/train/accumulate.ts';
import { supervise } from '../../src/train/loss.ts';
import { createVjp, type Gradients } from '../../src/train/vjp.ts';
import { largestDifference, loadGoldenModel, toInputs } from '../model/support.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

const file = readGolden(new URL('sft/inputs.safetensors', GOLDENS));
const inputs = {
  ...toInputs(file),
  labels: toInputs({ ...file, input_ids: file.labels as Golden }).inputIds,
};
const PATCHES = inputs.imageGridThw.map(([t = 0, h = 0, w = 0]) => t * h * w);

/* One row of the batch; each has one image. */
function row(b: number): typeof inputs {
  const before = PATCHES.slice(0, b).reduce((sum, n) => sum + n, 0);
  const only = <T>(values: T[]): T[] => [values[b] as T];
  return {
    inputIds: only(inputs.inputIds),
    attentionMask: only(inputs.attentionMask),
    labels: only(inputs.labels),
    imageGridThw: only(inputs.imageGridThw),
    pixelValues: (inputs.pixelValues as Float32Array).slice(
      1176 * before,
      1176 * (before + (PATCHES[b] as number)),
    ),
  };
}
const LABELS = inputs.labels.flat().filter((label) => label !== -100).length;

onEveryBackend(() => {
  describe.each([
    { name: 'token_mean', weightOf: () => 1 / LABELS },
    { name: 'mean_of_means', weightOf: (tokens: number) => 1 / (tokens * 2) },
  ])('$name', ({ name, weightOf }) => {
    it.each([true, false])(
      'gives the gradients of torch, row after row; one function for all: %s',
      async (fused) => {
        const expected = readGolden(new URL(`sft/accumulation_${name}.safetensors`, GOLDENS));
        const names = new Set(Object.keys(expected));
        using model = loadGoldenModel('tiny-a');
        using accumulator = createAccumulator(fused);
        const vjp = createVjp(model);
        let total: Gradients | undefined;
        for (const b of [0, 1]) {
          const { gradients } = await supervise(model, vjp, row(b), names, weightOf);
          total = accumulator.add(total, gradients);
        }
        const sums = total as Gradients;
        expect([...sums.keys()].sort()).toEqual([...names].sort());
        const largest = Math.max(...Object.values(expected).flatMap(({ data }) => [...data].map(Math.abs)));
        for (const [key, gradient] of sums) {
          const difference = largestDifference(gradient.dataSync(), (expected[key] as Golden).data);
          expect(difference, key).toBeLessThan(1e-4 * largest);
        }
        tf.dispose([...sums.values()]);
      },
    );
  });
});
