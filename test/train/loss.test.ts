import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { lossAndGradients } from '../../src/train/loss.ts';
import { createVjp } from '../../src/train/vjp.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';
import { largestDifference, loadGoldenModel, toInputs } from '../model/support.ts';

const file = readGolden(new URL('sft/inputs.safetensors', GOLDENS));
const inputs = {
  ...toInputs(file),
  labels: toInputs({ ...file, input_ids: file.labels as Golden }).inputIds,
};
const expected = readGolden(new URL('sft/grads_all.safetensors', GOLDENS));
const meta = JSON.parse(readFileSync(new URL('sft/meta.json', GOLDENS), 'utf8')) as {
  first_loss: { f64: number };
  grad_abs_max: number;
};

onEveryBackend(() => {
  describe.each(['none', 'blocks'] as const)('checkpointing %s', (checkpointing) => {
    it('gives the loss and every gradient of torch', async () => {
      using model = loadGoldenModel('tiny-a');
      const vjp = createVjp(model, { checkpointing });
      const { loss, gradients } = await lossAndGradients(model, vjp, inputs, 'all');
      expect(Math.abs(loss - meta.first_loss.f64)).toBeLessThan(1e-4);
      expect([...gradients.keys()].sort()).toEqual(Object.keys(expected).sort());
      for (const [name, gradient] of gradients) {
        const difference = largestDifference(gradient.dataSync(), (expected[name] as Golden).data);
        expect(difference, name).toBeLessThan(1e-4 * meta.grad_abs_max);
        gradient.dispose();
      }
    });

    it('differentiates by nothing but what a pattern names', async () => {
      using model = loadGoldenModel('tiny-a');
      const vjp = createVjp(model, { checkpointing });
      const patterns = [/layers\.2\.mlp/, '^visual\\.merger\\.'];
      const { gradients } = await lossAndGradients(model, vjp, inputs, patterns);
      const names = Object.keys(expected).filter((name) => /layers\.2\.mlp|^visual\.merger\./.test(name));
      expect([...gradients.keys()].sort()).toEqual(names.sort());
      for (const [name, gradient] of gradients) {
        const difference = largestDifference(gradient.dataSync(), (expected[name] as Golden).data);
        expect(difference, name).toBeLessThan(1e-4 * meta.grad_abs_max);
      }
      tf.dispose([...gradients.values()]);
    });
  });
});
