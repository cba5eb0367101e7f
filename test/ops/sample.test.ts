import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { filterLogits, sampleKeys, type SampleOptions, sampleTokens } from '../../src/ops/sample.ts';
import { compile, gumbel } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

const golden = readGolden(new URL('generate/sampling.safetensors', GOLDENS));
const OFF: SampleOptions = { temperature: 1, topK: 0, topP: 1, repetitionPenalty: 1 };
const RECIPES: Record<string, Partial<SampleOptions>> = {
  'temperature_0.7': { temperature: 0.7 },
  'temperature_1.5': { temperature: 1.5 },
  top_k_5: { topK: 5 },
  'top_p_0.99': { topP: 0.99 },
  'top_p_0.8': { topP: 0.8 },
  'top_p_0.001': { topP: 0.001 },
  'repetition_1.05': { repetitionPenalty: 1.05 },
  'repetition_1.3': { repetitionPenalty: 1.3 },
  'tapo_rollout_t1_p0.99': { topP: 0.99 },
  'chain_rep1.05_t0.7_k20_p0.8': { repetitionPenalty: 1.05, temperature: 0.7, topK: 20, topP: 0.8 },
};
const { shape, data } = golden.logits as Golden;
const [rows = 0, width = 0] = shape;
const logitsOf = (): tf.Tensor => tf.tensor2d(data as Float32Array, [rows, width]);
const seenOf = (): tf.Tensor => {
  const previous = golden.previous_ids as Golden;
  const [, count = 0] = previous.shape;
  const seen = new Float32Array(rows * width);
  previous.data.forEach((id, i) => (seen[Math.floor(i / count) * width + id] = 1));
  return tf.tensor2d(seen, [rows, width]);
};

onEveryBackend(() => {
  describe.each(Object.keys(RECIPES))('%s', (recipe) => {
    it.each(['eager', 'graph', 'xla'])("leaves transformers' probabilities, %s", (way) => {
      const options = { ...OFF, ...RECIPES[recipe] };
      const probs = (logits: tf.Tensor, seen: tf.Tensor): tf.Tensor =>
        tf.softmax(filterLogits(logits, options, seen));
      using compiled = compile(probs, { xla: way === 'xla' });
      const actual = (way === 'eager' ? probs : compiled)(logitsOf(), seenOf()).dataSync();
      const expected = (golden[`${recipe}.probs`] as Golden).data;
      const largest = Math.max(...actual.map((p, i) => Math.abs(p - (expected[i] as number))));
      expect(largest).toBeLessThan(1e-5);
    });
  });

  it('takes the likeliest token at temperature 0, and the first of equal ones', () => {
    const logits = tf.tensor2d([
      [0, 3, 3, 1],
      [5, 1, 2, 3],
    ]);
    const noise = tf.zeros([2, 4]);
    const { tokens, logProbs } = sampleTokens(logits, { ...OFF, temperature: 0 }, noise, tf.scalar(0));
    expect([...tokens.dataSync()]).toEqual([1, 0]);
    const sum = Math.exp(0) + 2 * Math.exp(3) + Math.exp(1);
    expect(logProbs.dataSync()[0]).toBeCloseTo(3 - Math.log(sum), 6);
  });

  it('chooses only what a bias leaves, and scores it by the whole distribution', () => {
    const logits = tf.tensor2d([[0, 3, 2, 1]]);
    const bias = tf.tensor2d([[0, -1e30, -1e30, 0]]);
    const noise = tf.zeros([1, 4]);
    const { tokens, logProbs } = sampleTokens(logits, { ...OFF, temperature: 0 }, noise, tf.scalar(0), bias);
    expect(tokens.dataSync()[0]).toBe(3);
    expect(logProbs.dataSync()[0]).toBeCloseTo(1 - Math.log(1 + Math.E + Math.E ** 2 + Math.E ** 3), 5);
  });

  it.each([{ topK: 1 }, { topP: 0.5 }, { topK: 2, topP: 0.5 }])(
    'filters what a bias leaves as if there was nothing else: %o',
    (filter) => {
      const logits = tf.tensor2d([[1, 2, 3, 4, 0]]);
      const bias = tf.tensor2d([[0, 0, 0, -1e30, -1e30]]);
      // Noise that would choose token 0, were it not removed.
      const noise = tf.tensor2d([[100, 0, 0, 0, 0]]);
      const { tokens } = sampleTokens(logits, { ...OFF, ...filter }, noise, tf.scalar(0), bias);
      expect(tokens.dataSync()[0]).toBe(2);
    },
  );

  it('tells neighbouring logits apart, whatever else is in the row', () => {
    const next = 1 + 2 ** -23;
    const row = [1, next, 0, -5, -90];
    for (const far of [-200, -1e9, -1e30, -Infinity]) {
      for (const filter of [{ topK: 1 }, { topP: 0.1 }]) {
        const filtered = filterLogits(tf.tensor2d([[...row, far]]), { ...OFF, ...filter }, tf.scalar(0));
        const kept = [...filtered.dataSync()].flatMap((z, token) => (z === -Infinity ? [] : [token]));
        expect(kept, `${far} with ${JSON.stringify(filter)}`).toEqual([1]);
      }
    }
  });

  it('keeps equal logits together, where the border is among them', () => {
    const filtered = filterLogits(tf.tensor2d([[1, 2, 2, 2, 0]]), { ...OFF, topP: 0.4 }, tf.scalar(0));
    expect([...filtered.dataSync()]).toEqual([-Infinity, 2, 2, 2, -Infinity]);
  });

  it('draws each token as often as its probability says (chi-square)', () => {
    const draws = 20_000;
    const logits = [0, 1, 2, -1, 0.5];
    const keys = tf.tensor2d(
      sampleKeys(
        7,
        Array.from({ length: draws }, (_, i) => [i]),
      ),
      [draws, 2],
      'int32',
    );
    const tokens = sampleTokens(
      tf.tile(tf.tensor2d([logits]), [draws, 1]),
      OFF,
      gumbel(keys, [draws, 5]),
      tf.scalar(0),
    ).tokens.dataSync();
    const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
    const chiSquare = logits.reduce((sum, z, token) => {
      const expected = (draws * Math.exp(z)) / total;
      return sum + (tokens.filter((drawn) => drawn === token).length - expected) ** 2 / expected;
    }, 0);
    // 4 degrees of freedom: above 18.5 once in a thousand times.
    expect(chiSquare).toBeLessThan(18.5);
  });

  it('draws the same for a row alone as in a batch, and something else for another seed', () => {
    const logits = tf.zeros([8, 50]);
    const draw = (seed: number, rows: number[]): number[] => {
      const keys = tf.tensor2d(
        sampleKeys(
          seed,
          rows.map((row) => [row]),
        ),
        [rows.length, 2],
        'int32',
      );
      const part = logits.slice([0, 0], [rows.length, 50]);
      return [...sampleTokens(part, OFF, gumbel(keys, part.shape), tf.scalar(0)).tokens.dataSync()];
    };
    const all = draw(1, [0, 1, 2, 3, 4, 5, 6, 7]);
    expect(draw(1, [3])).toEqual([all[3]]);
    expect(draw(2, [0, 1, 2, 3, 4, 5, 6, 7])).not.toEqual(all);
    expect(new Set(all).size).toBeGreaterThan(2);
  });
});
