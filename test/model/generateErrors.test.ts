import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/common/errors.ts';
import { assertGenerateOptions } from '../../src/config/generation.ts';
import { loadModel } from '../../src/index.ts';
import type { GenerateOptions } from '../../src/model/generate.ts';
import { useBackend } from '../support/backends.ts';
import { MODELS, readCase } from './support.ts';

const WRONG: [string, object, string][] = [
  ['maxNewTokens 0', { maxNewTokens: 0 }, 'maxNewTokens is 0; a whole number above 0 was expected'],
  ['maxNewTokens NaN', { maxNewTokens: NaN }, 'maxNewTokens is NaN; a whole number above 0 was expected'],
  ['maxNewTokens 1.5', { maxNewTokens: 1.5 }, 'maxNewTokens is 1.5; a whole number above 0 was expected'],
  ['no maxNewTokens', { maxNewTokens: undefined }, 'maxNewTokens is undefined; a whole number above 0'],
  ['samples 0', { samples: 0 }, 'samples is 0; a whole number above 0 was expected'],
  ['a negative temperature', { temperature: -0.5 }, 'temperature is -0.5; a number from 0 on was expected'],
  ['an infinite temperature', { temperature: Infinity }, 'temperature is Infinity; a number from 0 on'],
  ['a temperature as text', { temperature: '0.5' }, 'temperature is "0.5"; a number from 0 on was expected'],
  ['topP 0', { topP: 0 }, 'topP is 0; a number above 0 and up to 1 was expected'],
  ['topP 2', { topP: 2 }, 'topP is 2; a number above 0 and up to 1 was expected'],
  ['a negative topK', { topK: -1 }, 'topK is -1; a whole number from 0 (off) on was expected'],
  ['topK 2.5', { topK: 2.5 }, 'topK is 2.5; a whole number from 0 (off) on was expected'],
  ['repetitionPenalty 0', { repetitionPenalty: 0 }, 'repetitionPenalty is 0; a number above 0 was expected'],
  ['an infinite penalty', { repetitionPenalty: Infinity }, 'repetitionPenalty is Infinity; a number above 0'],
  ['half a seed', { seed: 0.5 }, 'seed is 0.5; a whole number was expected'],
  ['a seed that is no exact number', { seed: 2 ** 60 }, `seed is ${2 ** 60}; a whole number was expected`],
  [
    'a stop token behind the vocabulary',
    { stopTokens: [3, 1000] },
    'stopTokens[1] is 1000; a token of the vocabulary, a whole number from 0 to 999, was expected',
  ],
  ['a negative stop token', { stopTokens: [-1] }, 'stopTokens[0] is -1; a token of the vocabulary'],
  ['one stop token without a list', { stopTokens: 3 }, 'stopTokens is 3; a list of tokens was expected'],
  [
    'a token behind the vocabulary in a continuation',
    { constraint: { prefix: [], continuations: [[1], [2, 5000]] } },
    'constraint.continuations[1][1] is 5000; a token of the vocabulary, a whole number from 0 to 999,',
  ],
  [
    'a token behind the vocabulary in a prefix',
    { constraint: { prefix: [1000], continuations: [[1]] } },
    'constraint.prefix[0] is 1000; a token of the vocabulary',
  ],
  [
    'a constraint without a prefix',
    { constraint: { continuations: [[1]] } },
    'constraint.prefix is undefined; a list of tokens was expected',
  ],
  [
    'continuations that are one list',
    { constraint: { prefix: [], continuations: [1, 2] } },
    'constraint.continuations[0] is 1; a list of tokens was expected',
  ],
  [
    'an unknown option',
    { n: 2 },
    'there is no option n; there are maxNewTokens, temperature, topK, topP, repetitionPenalty, stopTokens, seed, ' +
      'samples, constraint, signal.',
  ],
  [
    'an unknown option of a constraint',
    { constraint: { prefix: [], continuations: [[1]], names: [] } },
    'there is no option constraint.names; there are prefix, continuations.',
  ],
  ['a signal that is none', { signal: 'stop' }, 'signal is "stop"; an AbortSignal was expected'],
];

describe('how to generate', () => {
  it.each(WRONG)('names %s', (_, options, message) => {
    const check = (): void => {
      assertGenerateOptions({ maxNewTokens: 8, ...options }, 1000);
    };
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(`generate: ${message}`);
  });

  it('names all that is wrong at once', () => {
    const check = (): void => {
      assertGenerateOptions({ maxNewTokens: 0, topP: 2, top_k: 3 }, 1000);
    };
    expect(check).toThrow(/maxNewTokens is 0.*\n.*topP is 2.*\n.*no option top_k/);
  });

  it('may be at the borders, or left out', () => {
    const accepted: Record<string, unknown>[] = [
      { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1e-3, seed: -5, samples: 1, stopTokens: [] },
      { stopTokens: [0, 999], seed: Number.MAX_SAFE_INTEGER, signal: new AbortController().signal },
      { temperature: undefined, stopTokens: undefined, constraint: { prefix: [], continuations: [[999]] } },
    ];
    for (const options of accepted) assertGenerateOptions({ maxNewTokens: 1, ...options }, 1000);
  });
});

describe('a model', () => {
  useBackend('tensorflow');

  it('refuses options that are wrong before it computes anything, as a whole and part by part', async () => {
    const { inputs } = readCase('tiny-a', 'text_only');
    using model = await loadModel(`${MODELS}tiny-a`, { backend: 'tensorflow' });
    for (const [, options, message] of WRONG) {
      const all = { maxNewTokens: 8, ...options } as GenerateOptions;
      const generated = model.generate(inputs, all);
      await expect(generated).rejects.toThrow(ConfigError);
      await expect(generated).rejects.toThrow(message);
      await expect(model.stream(inputs, all).next()).rejects.toThrow(message);
    }
  });

  it('refuses names that cannot be told apart, and takes them with the stop tokens that it has', async () => {
    const { inputs } = readCase('tiny-a', 'text_only');
    using model = await loadModel(`${MODELS}tiny-a`, { backend: 'tensorflow' });
    const constraint = { prefix: [], continuations: [[7], [7, 8]] };
    const options = { maxNewTokens: 3, constraint };
    await expect(model.generate(inputs, { ...options, stopTokens: [] })).rejects.toThrow(
      /Continuation 0 of a constraint, \[7\], is the beginning of continuation 1, \[7, 8\]/,
    );
    const { tokens } = await model.generate(inputs, options);
    expect(tokens[0]?.[0]).toBe(7);
    expect([8, ...model.eosTokenIds]).toContain(tokens[0]?.[1]);
  });
});
