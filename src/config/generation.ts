import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { CheckpointError, ConfigError } from '../common/errors.ts';
import { readJson } from '../common/json.ts';
import { log } from '../common/log.ts';

const generationSchema = z.object({
  eos_token_id: z.union([z.int(), z.array(z.int())]).optional(),
});

/** What `generation_config.json` says that finer1 goes by. How to draw tokens is the caller's choice. */
export interface GenerationConfig {
  /** tokens that end a response */
  eosTokenIds: number[];
}

/**
 * Reads `generation_config.json`.
 * @param json its parsed content
 * @param file for messages
 * @throws CheckpointError that names the file and the field that is wrong
 */
export function parseGenerationConfig(json: unknown, file: string): GenerationConfig {
  const result = generationSchema.safeParse(json);
  if (!result.success) throw new CheckpointError(`${file} is wrong:\n${z.prettifyError(result.error)}`);
  return { eosTokenIds: [result.data.eos_token_id ?? []].flat() };
}

/**
 * Tokens that end a response, from `generation_config.json`; a warning names those that the model does not have.
 * @throws CheckpointError if the file is damaged
 */
export function readEosTokens(folder: string, vocabSize: number): number[] {
  const file = join(folder, 'generation_config.json');
  const { eosTokenIds } = parseGenerationConfig(existsSync(file) ? readJson(file) : {}, file);
  const isToken = (id: number): boolean => id >= 0 && id < vocabSize;
  const strange = eosTokenIds.filter((id) => !isToken(id));
  if (strange.length > 0) {
    log.warn(
      `${file}: eos_token_id has ${strange.join(', ')}, outside of the model's vocabulary of ${vocabSize} tokens: ` +
        'no response ends there.',
    );
  }
  return eosTokenIds.filter(isToken);
}

/* A value that passes; what was expected is the message where it does not. */
const value = <T>(expected: string, fits: (value: T) => boolean) =>
  z.custom<T>((given) => fits(given as T), expected);
const wholeNumber = (from: number, expected: string) =>
  value<number>(expected, (given) => Number.isSafeInteger(given) && given >= from);
const isNumber = (given: unknown): given is number => Number.isFinite(given);

/* How to generate, for a model whose vocabulary has so many tokens. */
function generateSchema(vocabSize: number) {
  const token = value<number>(
    `a token of the vocabulary, a whole number from 0 to ${vocabSize - 1},`,
    (given) => Number.isInteger(given) && given >= 0 && given < vocabSize,
  );
  const tokens = z.array(token, 'a list of tokens');
  const constraint = {
    prefix: tokens,
    continuations: z.array(tokens, 'a list of lists of tokens'),
  };
  return z.strictObject(
    {
      maxNewTokens: wholeNumber(1, 'a whole number above 0'),
      temperature: value('a number from 0 on', (given) => isNumber(given) && given >= 0).optional(),
      topK: wholeNumber(0, 'a whole number from 0 (off) on').optional(),
      topP: value(
        'a number above 0 and up to 1',
        (given) => isNumber(given) && given > 0 && given <= 1,
      ).optional(),
      repetitionPenalty: value('a number above 0', (given) => isNumber(given) && given > 0).optional(),
      stopTokens: tokens.optional(),
      seed: wholeNumber(Number.MIN_SAFE_INTEGER, 'a whole number').optional(),
      samples: wholeNumber(1, 'a whole number above 0').optional(),
      constraint: z.strictObject(constraint, 'a prefix and its continuations').optional(),
      signal: value('an AbortSignal', (given) => given instanceof AbortSignal).optional(),
    },
    'a record such as { maxNewTokens: 100 }',
  );
}

/**
 * Checks how to generate.
 * @param vocabSize tokens of the model
 * @throws ConfigError that names each option that is wrong or unknown, its value and what it has to be
 */
export function assertGenerateOptions(options: object, vocabSize: number): void {
  const schema = generateSchema(vocabSize);
  const result = schema.safeParse(options);
  if (result.success) return;
  const problems = result.error.issues.map((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const at = issue.path.length === 0 ? schema : schema.shape.constraint.unwrap();
      const known = Object.keys(at.shape).join(', ');
      return `generate: there is no option ${[...issue.path, issue.keys[0]].join('.')}; there are ${known}.`;
    }
    return `generate: ${nameOf(issue.path) || 'options'} is ${show(valueAt(options, issue.path))}; ${issue.message} was expected.`;
  });
  throw new ConfigError(problems.join('\n'));
}

const nameOf = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');
const valueAt = (options: object, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], options);
const show = (given: unknown): string => (typeof given === 'string' ? `"${given}"` : String(given));
