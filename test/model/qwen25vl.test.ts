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

  it.each(CASES)("is as close to float32 in bfloat16 as transformers' bfloat16 is, for %s", async (name) => {
    const { inputs, golden } = readCase('tiny-b', name);
    using model = loadGoldenModel('tiny-b', { dtype: 'bfloat16', compute: 'bfloat16' });
    const { data, shape } = await logits(model, inputs);
    const [rows, length, vocabulary] = shape;
    const last8 = Array.from({ length: rows }, (_, b) => [
      ...data.slice((b * length + length - 8) * vocabulary, (b + 1) * length * vocabulary),
    ]).flat();
    const mask = inputs.attentionMask.flatMap((row) => row.slice(-8));
    const [exact, theirs] = ['text.logits_f64_last8', 'text.logits_bf16_last8'].map(
      (key) => (golden[key] as Golden).data,
    ) as [Golden['data'], Golden['data']];
    const distance = rootMeanSquare(last8, exact, mask);
    expect(distance).toBeLessThanOrEqual(rootMeanSquare(theirs, exact, mask));
  });
});

/* Of the differences at the places that count. */
function rootMeanSquare(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  mask: readonly number[],
): number {
  const width = actual.length / mask.length;
  let [sum, count] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    if (mask[Math.floor(i / width)] === 0) continue;
    sum += ((actual[i] as number) - (expected[i] as number)) ** 2;
    count++;
  }
  return Math.sqrt(sum / count);
}
