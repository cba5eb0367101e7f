import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { scoreSimilarity, similarityScore, textEncoder } from '../../src/eval/similarity.ts';
import type { Tokenizer } from '../../src/data/text/tokenizer.ts';
import { loadSiglipText } from '../../src/model/siglip.ts';
import { onEveryBackend } from '../support/backends.ts';
import { GOLDENS } from '../support/safetensors.ts';

const END = 1;
/* A token a character; the golden model has 500. */
const characters: Tokenizer = {
  encode: (text) => Array.from(text, (character) => character.charCodeAt(0)),
  decode: () => '',
  idOf: (token) => (token === '</s>' ? END : undefined),
};

describe('similarityScore', () => {
  it.each([
    [1, 0.5, 1],
    [0.75, 0.5, 0.5],
    [0.5, 0.5, 0],
    [0.2, 0.5, 0],
    [1, 1, 0],
  ])('of cosine %d against %d is %d', (s, s0, score) => {
    expect(similarityScore(s, s0)).toBe(score);
  });
});

describe('textEncoder', () => {
  const encode = textEncoder(characters, 8);
  it('lowers, drops punctuation, joins spaces, ends and fills up', () => {
    expect(encode("  It's\n a ")).toEqual([...characters.encode('its a'), END, END, END]);
    expect(encode('')).toEqual(Array.from({ length: 8 }, () => END));
  });

  it('cuts what is too long, but ends it', () => {
    expect(encode('abcdefghij')).toEqual([...characters.encode('abcdefg'), END]);
  });

  it('says that a tokenizer is no SigLIP’s', () => {
    expect(() => textEncoder({ ...characters, idOf: () => undefined }, 8)).toThrow(/has no token <\/s>/);
  });
});

onEveryBackend(() => {
  it('gives 1 for the label, 0 for the coarse word, and less to others; each text alone as in company', async () => {
    using siglip = loadSiglipText(fileURLToPath(new URL('siglip/tiny', GOLDENS)));
    const label = 'Mexican petunia';
    const of = (text: string, coarse = 'flower') => ({ text, label, coarse });
    const answers = [of('mexican petunia!'), of('flower'), of('zebra'), of('mexican rose')];
    const scores = await scoreSimilarity(siglip, characters, answers);
    expect(scores[0]).toBeCloseTo(1, 5);
    expect(scores[1]).toBe(0);
    for (const score of scores.slice(2)) expect(score).toBeLessThan(1);
    const many = Array.from({ length: 70 }, (_, i) => of(`flower ${i}`));
    const alone = await scoreSimilarity(siglip, characters, many.slice(-1));
    const last = (await scoreSimilarity(siglip, characters, many)).at(-1) as number;
    expect(Math.abs(last - (alone[0] as number))).toBeLessThan(1e-5);
  });
});
