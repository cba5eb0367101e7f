import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { sampleKeys, type SampleOptions, sampleTokens } from '../../src/ops/sample.ts';
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

/*
 * The tokens of each row that are not removed: with noise in favour of one token, it is what is drawn, if it can be.
 * [rows][tokens]
 */
function keptBy(
  options: SampleOptions,
  logits: tf.Tensor,
  seen: tf.Tensor,
  sample: typeof sampleTokens = sampleTokens,
): boolean[][] {
  const [count, width] = logits.shape as [number, number];
  const favour = tf.eye(width).mul(1e6).tile([count, 1]);
  const each = (x: tf.Tensor): tf.Tensor =>
    x.rank < 2
      ? x
      : x
          .expandDims(1)
          .tile([1, width, 1])
          .reshape([count * width, width]);
  const { tokens } = sample(each(logits), options, favour, each(seen));
  const drawn = tokens.dataSync();
  return Array.from({ length: count }, (_, b) =>
    Array.from({ length: width }, (_, token) => drawn[b * width + token] === token),
  );
}

onEveryBackend(() => {
  describe.each(Object.keys(RECIPES))('%s', (recipe) => {
    it.each(['eager', 'graph', 'xla'])("draws from transformers' probabilities, %s", (way) => {
      const options = { ...OFF, ...RECIPES[recipe] };
      using compiled = compile(sampleTokens, { xla: way === 'xla' });
      const kept = keptBy(options, logitsOf(), seenOf(), way === 'eager' ? sampleTokens : compiled);
      const expected = (golden[`${recipe}.probs`] as Golden).data;
      const seen = seenOf().dataSync();
      for (let b = 0; b < rows; b++) {
        const scaled = Array.from({ length: width }, (_, token) => {
          const z = data[b * width + token] as number;
          const penalty = seen[b * width + token] === 1 ? options.repetitionPenalty : 1;
          return (z < 0 ? z * penalty : z / penalty) / options.temperature;
        });
        const largest = Math.max(...scaled);
        const weights = scaled.map((z, token) => (kept[b]?.[token] === true ? Math.exp(z - largest) : 0));
        const sum = weights.reduce((total, weight) => total + weight, 0);
        weights.forEach((weight, token) => {
          const error = Math.abs(weight / sum - (expected[b * width + token] as number));
          expect(error, `row ${b}, token ${token}`).toBeLessThan(1e-5);
        });
      }
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
        const kept = keptBy({ ...OFF, ...filter }, tf.tensor2d([[...row, far]]), tf.scalar(0));
        expect(kept, `${far} with ${JSON.stringify(filter)}`).toEqual([
          [false, true, false, false, false, false],
        ]);
      }
    }
  });

  it('keeps equal logits together, where the border is among them', () => {
    const kept = keptBy({ ...OFF, topP: 0.4 }, tf.tensor2d([[1, 2, 2, 2, 0]]), tf.scalar(0));
    expect(kept).toEqual([[false, true, true, true, false]]);
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
