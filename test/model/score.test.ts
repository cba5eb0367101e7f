import { describe, expect, it } from 'vitest';
import { ConfigError, DataError } from '../../src/common/errors.ts';
import { generate } from '../../src/model/generate.ts';
import type { ModelInputs } from '../../src/model/inputs.ts';
import { logits, type Qwen25VL } from '../../src/model/qwen25vl.ts';
import { type ResponseScores, score } from '../../src/model/score.ts';
import { onEveryBackend, useBackend } from '../support/backends.ts';
import type { Golden } from '../support/safetensors.ts';
import { CASES, largestDifference, loadGoldenModel, readCase } from './support.ts';

/** The row of some inputs without its padding, with a response behind it. */
function continued(inputs: ModelInputs, row: number, response: readonly number[]): ModelInputs {
  const { imageGridThw, pixelValues } = inputs;
  const mask = inputs.attentionMask[row] as number[];
  const ids = [...(inputs.inputIds[row] as number[]).filter((_, i) => mask[i] === 1), ...response];
  const patches = imageGridThw.map((grid) => grid.reduce((product, size) => product * size, 1176));
  const isOneRow = inputs.inputIds.length === 1;
  const from = isOneRow ? 0 : patches.slice(0, row).reduce((sum, size) => sum + size, 0);
  return {
    inputIds: [ids],
    attentionMask: [ids.map(() => 1)],
    pixelValues: pixelValues?.slice(from, isOneRow ? undefined : from + (patches[row] as number)) ?? null,
    imageGridThw: isOneRow ? imageGridThw : imageGridThw.slice(row, row + 1),
  };
}

/** Log-softmax of a row of logits in float64: that of a token, and the entropy. */
function softmaxOf(logits: ArrayLike<number>, token: number, temperature: number): [number, number] {
  const row = Array.from(logits, (value) => value / temperature);
  const largest = Math.max(...row);
  const logSum = largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0));
  const entropy = -row.reduce((sum, value) => sum + Math.exp(value - logSum) * (value - logSum), 0);
  return [(row[token] as number) - logSum, entropy];
}

/** Log-probabilities and entropies of a response, in float64 from the logits of every token. */
async function byHand(
  model: Qwen25VL,
  inputs: ModelInputs,
  response: readonly number[],
  temperature: number,
): Promise<{ logProbs: number[]; entropies: number[] }> {
  const { data, shape } = await logits(model, inputs);
  const [, length, vocabulary] = shape;
  const rows = response.map((token, i) => {
    const from = (length - response.length + i - 1) * vocabulary;
    return softmaxOf(data.subarray(from, from + vocabulary), token, temperature);
  });
  return { logProbs: rows.map(([logProb]) => logProb), entropies: rows.map(([, entropy]) => entropy) };
}

/*
 * Alone and in a batch, sums are rounded otherwise: the limit is 1e-5, or a tenth of torch float32's own distance from
 * float64 where that is more. A temperature divides this distance too.
 */
const limitOf = (floors: Record<string, number>, temperature: number): number =>
  Math.max(1e-5, (floors['text.logits'] as number) / 10) / Math.min(1, temperature);
/* Where responses share a prompt, sums are of two parts: within torch float32's own distance from float64. */
const sharedLimitOf = (floors: Record<string, number>): number => floors['text.logits'] as number;

async function expectByHand(
  model: Qwen25VL,
  inputs: ModelInputs,
  responses: readonly (readonly number[])[],
  temperature: number,
  limit: number,
): Promise<void> {
  const scores: ResponseScores = await score(model, inputs, responses, { temperature });
  const each = responses.length / inputs.inputIds.length;
  for (const [i, response] of responses.entries()) {
    const expected = await byHand(
      model,
      continued(inputs, Math.floor(i / each), response),
      response,
      temperature,
    );
    for (const part of ['logProbs', 'entropies'] as const) {
      const difference = largestDifference(scores[part][i] ?? [], expected[part]);
      expect(difference, `${part} of response ${i}`).toBeLessThan(limit);
    }
  }
}

onEveryBackend(() => {
  // Cases whose last tokens are text.
  it.each(['text_only', 'one_image', 'two_images'])(
    "is that of torch's float64 logits for %s",
    async (name) => {
      const { inputs, golden, floors } = readCase('tiny-a', name);
      using model = loadGoldenModel('tiny-a');
      const exact = golden['text.logits_f64_last8'] as Golden;
      const vocabulary = exact.shape[2] as number;
      const shorter = {
        ...inputs,
        inputIds: inputs.inputIds.map((ids) => ids.slice(0, -7)),
        attentionMask: inputs.attentionMask.map((mask) => mask.slice(0, -7)),
      };
      const responses = inputs.inputIds.map((ids) => ids.slice(-7));
      const { logProbs, entropies } = await score(model, shorter, responses);
      responses.forEach((response, b) => {
        const expected = response.map((token, i) => {
          const from = (b * 8 + i) * vocabulary;
          return softmaxOf(exact.data.slice(from, from + vocabulary), token, 1);
        });
        const limit = 5 * (floors['text.logits'] as number);
        for (const [part, scores] of [logProbs, entropies].entries()) {
          const values = expected.map((pair) => pair[part] as number);
          expect(largestDifference(scores[b] ?? [], values)).toBeLessThan(limit);
        }
      });
    },
  );

  it.each(CASES)('is the log-softmax of the logits for %s, for responses of any length', async (name) => {
    const { inputs, floors } = readCase('tiny-a', name);
    using model = loadGoldenModel('tiny-a');
    const responses = [[5, 6, 7, 8, 9], [986]].slice(0, inputs.inputIds.length);
    // Logits are another function's: with AVX-512 they differ by 1.8e-5 (text_only; torch's own distance: 3.2e-5).
    await expectByHand(model, inputs, responses, 1, Math.max(3e-5, limitOf(floors, 1)));
    const several = inputs.inputIds.flatMap((_, row) => [[5, 6, 7, 8, 9], [500 + row, 3], [986]]);
    await expectByHand(model, inputs, several, 1, sharedLimitOf(floors));
  });

  it.each([0.25, 0.7, 3])('divides the logits by the temperature %d', async (temperature) => {
    const { inputs, floors } = readCase('tiny-b', 'batch_left');
    const limit = limitOf(floors, temperature);
    using model = loadGoldenModel('tiny-b');
    await expectByHand(model, inputs, [[1, 2, 3], [400], [639, 0], [7, 7, 7, 7]], temperature, limit);
  });

  it('takes an image token that was drawn as it was when it was drawn', async () => {
    const { inputs } = readCase('tiny-a', 'batch_left');
    using model = loadGoldenModel('tiny-a');
    const { imageTokenId } = model.config;
    const constraint = { prefix: [], continuations: [[5, imageTokenId, imageTokenId, 6]] };
    const { tokens, logProbs } = await generate(model, inputs, { maxNewTokens: 6, constraint });
    expect(tokens.map((row) => row.slice(0, 4))).toEqual([
      constraint.continuations[0],
      constraint.continuations[0],
    ]);
    const scores = await score(model, inputs, tokens);
    tokens.forEach((_, i) => {
      expect(largestDifference(scores.logProbs[i] ?? [], logProbs[i] ?? [])).toBeLessThan(1e-4);
    });
  });

  it('gives an empty response no scores, alone or beside others', async () => {
    const { inputs, floors } = readCase('tiny-a', 'batch_left');
    using model = loadGoldenModel('tiny-a');
    await expectByHand(model, inputs, [[], [5, 6], [7], []], 1, limitOf(floors, 1));
    const { logProbs, entropies } = await score(model, inputs, [[], []]);
    expect([logProbs, entropies].map((all) => all.map(({ length }) => length))).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });
});

describe('what cannot be scored', () => {
  useBackend('tensorflow');

  it.each<[string, number[][], { temperature?: number }, typeof DataError | typeof ConfigError, string]>([
    ['no responses', [], {}, DataError, '0 responses were given for 2 prompts'],
    ['an uneven number', [[1], [2], [3]], {}, DataError, '3 responses were given for 2 prompts'],
    [
      'a token behind the vocabulary',
      [[1], [2, 1000]],
      {},
      DataError,
      'responses[1] holds 1000 as its token 1',
    ],
    ['a negative token', [[-1], [2]], {}, DataError, 'responses[0] holds -1 as its token 0'],
    [
      'temperature 0',
      [[1], [2]],
      { temperature: 0 },
      ConfigError,
      'score: temperature is 0; a number above 0',
    ],
    ['a temperature below 0', [[1], [2]], { temperature: -1 }, ConfigError, 'score: temperature is -1'],
    ['no temperature', [[1], [2]], { temperature: NaN }, ConfigError, 'score: temperature is NaN'],
    [
      'an infinite temperature',
      [[1], [2]],
      { temperature: Infinity },
      ConfigError,
      'temperature is Infinity',
    ],
  ])('is said: %s', async (_, responses, options, type, message) => {
    const { inputs } = readCase('tiny-a', 'batch_left');
    using model = loadGoldenModel('tiny-a');
    const scored = score(model, inputs, responses, options);
    await expect(scored).rejects.toThrow(type);
    await expect(scored).rejects.toThrow(message);
  });
});
