import * as tf from '@tensorflow/tfjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, type Model } from '../../src/api/loadModel.ts';
import { type Classification, classify, type ClassifyOptions } from '../../src/classify/classify.ts';
import { promptOf } from '../../src/classify/prompt.ts';
import { ConfigError, DataError } from '../../src/common/errors.ts';
import type { Tokenizer } from '../../src/data/text/tokenizer.ts';
import { birdNames, drawPictures, TINY_BASE } from '../support/birds.ts';

const ASKED = { question: 'what bird is this?', instruction: '', maxNewTokens: 24 };
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

describe.each(['tensorflow', 'wasm'] as const)('classify on %s', (backend) => {
  let model: Model;
  let pictures: Uint8Array[];
  let held: number;
  beforeAll(async () => {
    model = await loadModel(TINY_BASE, { backend });
    pictures = await drawPictures(backend === 'tensorflow' ? 12 : 3);
  });
  beforeAll(async () => {
    // What the model keeps from its first use on.
    await ask(pictures[0] as Uint8Array, ['a', 'b']);
    held = tf.memory().numTensors;
  });
  afterEach(() => {
    expect(tf.memory().numTensors, 'tensors left behind').toBe(held);
  });
  afterAll(() => {
    model.dispose();
  });
  const ask = (
    picture: Uint8Array,
    candidates: readonly string[] | null,
    options: ClassifyOptions = {},
  ): Promise<Classification> => classify(model, picture, candidates, { ...ASKED, ...options });

  it('labels each picture with a candidate, the most probable one; probabilities sum to 1', async () => {
    const candidates = birdNames(8);
    for (const picture of pictures) {
      const { label, probabilities, response, refused } = await ask(picture, candidates);
      expect(candidates).toContain(label);
      expect(refused).toBe(false);
      expect(Object.keys(probabilities ?? {})).toEqual(candidates);
      expect(sum(Object.values(probabilities ?? {}))).toBeCloseTo(1, 9);
      expect(probabilities?.[label as string]).toBe(Math.max(...Object.values(probabilities ?? {})));
      expect(response.endsWith(`</think>\n\n<answer>${label}</answer>`)).toBe(true);
    }
  });

  it('gives the probabilities of whole answers, each scored alone', async () => {
    const [picture = new Uint8Array()] = pictures;
    const candidates = ['finch', 'plain finch', 'barred goldbreast redcap finch', 'plain finch swallow'];
    const { probabilities, reasoning } = await ask(picture, candidates);
    const text = promptOf({ ...ASKED, candidates });
    const content = [{ type: 'image' as const }, { type: 'text' as const, text }];
    const inputs = await model.prepare([{ role: 'user', content }], [picture]);
    const tokenizer = model.tokenizer as Tokenizer;
    const said = (await model.generate(inputs, { maxNewTokens: ASKED.maxNewTokens })).tokens[0] as number[];
    expect(tokenizer.decode(said).trim()).toBe(reasoning);
    const weights: number[] = [];
    for (const name of candidates) {
      const answer = tokenizer.encode(`</think>\n\n<answer>${name}</answer>`);
      const { logProbs } = await model.score(inputs, [[...said, ...answer]]);
      weights.push(Math.exp(sum((logProbs[0] as Float32Array).slice(said.length))));
    }
    for (const [i, name] of candidates.entries()) {
      expect(probabilities?.[name], name).toBeCloseTo((weights[i] as number) / sum(weights), 4);
    }
  });

  it('tells a name from one that contains it', async () => {
    const [picture = new Uint8Array()] = pictures;
    const nested = ['plain', 'plain finch', 'plain finch finch'];
    const { label, probabilities } = await ask(picture, nested);
    expect(nested).toContain(label);
    // All are in the game: none has the probability of what it begins with.
    expect(new Set(Object.values(probabilities ?? {})).size).toBe(3);
    expect(sum(Object.values(probabilities ?? {}))).toBeCloseTo(1, 9);
  });

  it('gives the same for the same', async () => {
    const [picture = new Uint8Array()] = pictures;
    expect(await ask(picture, birdNames(5))).toEqual(await ask(picture, birdNames(5)));
  });

  it('refuses what is less probable than asked for, and keeps the probabilities', async () => {
    const [picture = new Uint8Array()] = pictures;
    const candidates = birdNames(6);
    const free = await ask(picture, candidates);
    const best = Math.max(...Object.values(free.probabilities ?? {}));
    expect(best).toBeLessThan(1);
    expect(await ask(picture, candidates, { minProbability: best })).toEqual(free);
    const refused = await ask(picture, candidates, { minProbability: 1 });
    expect(refused).toMatchObject({ label: null, refused: true, probabilities: free.probabilities });
    expect(refused.response).not.toContain('<answer>');
  });

  it('says that the reasoning was cut, and where it was not', async () => {
    const [picture = new Uint8Array()] = pictures;
    expect(await ask(picture, birdNames(2), { maxNewTokens: 3 })).toMatchObject({ truncated: true });
    // Without the names the model describes the bird, and ends.
    const open = await ask(picture, null, { maxNewTokens: 96 });
    expect(open).toMatchObject({ truncated: false, label: null, refused: true, probabilities: null });
    expect(open.reasoning).toBe(open.response.trim());
    expect(open.reasoning).not.toBe('');
  });
});

describe('classify', () => {
  it.each([
    ['one candidate', ['rose'], {}, /candidates has 1 candidate; at least 2/],
    [
      'a probability over 1',
      ['rose', 'tulip'],
      { minProbability: 2 },
      /minProbability is 2; a number from 0/,
    ],
    ['a limit without candidates', null, { minProbability: 0.5 }, /without candidates there are no probab/],
    ['no room for tokens', ['rose', 'tulip'], { maxNewTokens: 0 }, /maxNewTokens is 0/],
  ])('cannot do with %s', async (_, candidates, options, message) => {
    using model = await loadModel(TINY_BASE, { backend: 'wasm' });
    const [picture = new Uint8Array()] = await drawPictures(1);
    const asked = classify(model, picture, candidates, options);
    await expect(asked).rejects.toThrow(ConfigError);
    await expect(asked).rejects.toThrow(message);
  });

  it('names a picture that cannot be used', async () => {
    using model = await loadModel(TINY_BASE, { backend: 'wasm' });
    const asked = classify(model, 'none.png', ['rose', 'tulip']);
    await expect(asked).rejects.toThrow(DataError);
    await expect(asked).rejects.toThrow(/none\.png cannot be used as a picture/);
  });
});
