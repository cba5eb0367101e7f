import { describe, expect, it } from 'vitest';
import { logits } from '../../src/model/qwen25vl.ts';
import { onEveryBackend } from '../support/backends.ts';
import type { Golden } from '../support/safetensors.ts';
import { CASES, largestDifference, loadGoldenModel, readCase } from './support.ts';

/* The issue's limit: this many times torch float32's own distance from float64. */
const FLOORS = 5;

onEveryBackend(() => {
  describe.each(['tiny-a', 'tiny-b'])('%s', (name) => {
    it.each(CASES)('gives the logits of transformers for %s', async (caseName) => {
      const { inputs, golden, floors } = readCase(name, caseName);
      using model = loadGoldenModel(name);
      const { data, shape } = await logits(model, inputs);
      const expected = golden['text.logits'] as Golden;
      expect(shape).toEqual(expected.shape);
      const difference = largestDifference(data, expected.data, inputs.attentionMask.flat());
      expect(difference).toBeLessThan(FLOORS * (floors['text.logits'] as number));
    });
  });

  it.each(['tiny-a-newnames', 'tiny-a-storedhead'])('gives the same logits from %s', async (name) => {
    const { inputs, golden, floors } = readCase('tiny-a', 'one_image');
    using model = loadGoldenModel(name);
    const { data } = await logits(model, inputs);
    const difference = largestDifference(data, (golden['text.logits'] as Golden).data);
    expect(difference).toBeLessThan(FLOORS * (floors['text.logits'] as number));
  });
});
