import { assertGenerateOptions } from '../config/generation.ts';
import { sampleKeys } from '../ops/sample.ts';
import { type Constraint, type ConstraintState, createConstraint } from './constraint.ts';
import type { Choice } from './decode.ts';
import { type ChosenOnHost, GenerationBatch, type Response } from './generationBatch.ts';
import { contentStreams, type ModelInputs } from './inputs.ts';
import { prefill, type Qwen25VL } from './qwen25vl.ts';

/** How to generate. */
export interface GenerateOptions {
  /** tokens of a response, at most */
  maxNewTokens: number;
  /** 0 (default) takes the likeliest token; 1 draws from the model's own distribution */
  temperature?: number;
  /** draw from the k likeliest tokens only; default: from all */
  topK?: number;
  /** draw from the likeliest tokens that together have this probability only; default 1: from all */
  topP?: number;
  /** divides the logits of tokens that occur already, as transformers does; default 1: off */
  repetitionPenalty?: number;
  /** tokens that end a response; default: none */
  stopTokens?: readonly number[];
  /** default 0; the same seed gives the same responses, whatever else is in the batch */
  seed?: number;
  /** responses for each prompt, which share its image encoding and prefill; default 1 */
  samples?: number;
  /** what follows a prefix has to be one of the given continuations */
  constraint?: { prefix: readonly number[]; continuations: readonly (readonly number[])[] };
  /** stops between two steps, by throwing its reason */
  signal?: AbortSignal;
}

export type FinishReason = 'stop' | 'length';

/** Responses: `samples` for the first prompt, then for the second, and so on. */
export interface Generation {
  /** the stop token included */
  tokens: number[][];
  /** of each token, at the temperature, before any filter */
  logProbs: number[][];
  finishReasons: FinishReason[];
}

/** Some more tokens of a response. */
export interface GeneratedPart {
  /** which response */
  row: number;
  tokens: number[];
  logProbs: number[];
  /** with the last part */
  finishReason?: FinishReason;
}

/**
 * Generates responses, part by part.
 *
 * A response depends on its prompt, the seed and its number among the prompt's responses, not on the batch.
 *
 * @throws DataError if the inputs do not fit one another
 * @throws ConfigError if an option is wrong
 */
export async function* generateParts(
  model: Qwen25VL,
  inputs: ModelInputs,
  options: GenerateOptions,
): AsyncGenerator<GeneratedPart[], void, void> {
  const settings = checked(options, model.config.text.vocabSize);
  const { constraint, signal } = settings;
  signal?.throwIfAborted();
  using batch = startBatch(model, inputs, settings);
  const states = batch.responses.map(() => constraint?.start());
  for (;;) {
    const responses = batch.responses;
    const chosen = batch.next(
      constraint &&
        responses.map(({ row, finished }) =>
          finished ? undefined : constraint.allowed(states[row] as ConstraintState),
        ),
    );
    const parts = responses.flatMap((response, i) => take(response, chosen, i, settings));
    for (const { row, tokens } of parts) {
      for (const token of tokens) states[row] = constraint?.next(states[row] as ConstraintState, token);
    }
    yield parts;
    if (responses.every(({ finished }) => finished)) return;
    // TensorFlow's calls are synchronous: let what else waits in this process run.
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    batch.tidyUp();
  }
}

/**
 * Generates responses, and returns them when all are finished. Errors as `generateParts`.
 * @param onTokens is told how many tokens came, each time that some did
 */
export async function generate(
  model: Qwen25VL,
  inputs: ModelInputs,
  options: GenerateOptions,
  onTokens?: (count: number) => void,
): Promise<Generation> {
  const count = inputs.inputIds.length * (options.samples ?? 1);
  const result: Generation = {
    tokens: Array.from({ length: count }, () => []),
    logProbs: Array.from({ length: count }, () => []),
    finishReasons: Array.from({ length: count }, () => 'length' as const),
  };
  for await (const parts of generateParts(model, inputs, options)) {
    onTokens?.(parts.reduce((sum, { tokens }) => sum + tokens.length, 0));
    for (const { row, tokens, logProbs, finishReason } of parts) {
      result.tokens[row]?.push(...tokens);
      result.logProbs[row]?.push(...logProbs);
      if (finishReason !== undefined) result.finishReasons[row] = finishReason;
    }
  }
  return result;
}

type Settings = ReturnType<typeof checked>;

function checked(options: GenerateOptions, vocabSize: number) {
  assertGenerateOptions(options, vocabSize);
  const { maxNewTokens, constraint, stopTokens = [], signal } = options;
  const { temperature = 0, topK = 0, topP = 1, repetitionPenalty = 1, seed = 0, samples = 1 } = options;
  const choice: Choice = { temperature, topK, topP, repetitionPenalty, stopTokens };
  const tracker: Constraint | undefined = constraint && createConstraint({ ...constraint, ends: stopTokens });
  return { maxNewTokens, samples, seed, signal, choice, constraint: tracker };
}

/* Takes what was chosen for a response over into it; the part that it grew by. */
function take(
  response: Response,
  chosen: ChosenOnHost,
  i: number,
  { choice, maxNewTokens }: Settings,
): GeneratedPart[] {
  if (response.finished) return [];
  const tokens = chosen.tokens[i] as number[];
  const room = maxNewTokens - response.tokens.length;
  const stop = tokens.findIndex((token) => choice.stopTokens.includes(token));
  const hasStopped = stop !== -1 && stop < room;
  const taken = hasStopped ? stop + 1 : Math.min(tokens.length, room);
  const part: GeneratedPart = {
    row: response.row,
    tokens: tokens.slice(0, taken),
    logProbs: (chosen.logProbs[i] as number[]).slice(0, taken),
  };
  response.tokens.push(...part.tokens);
  response.finished = hasStopped || taken === room;
  if (response.finished) part.finishReason = hasStopped ? 'stop' : 'length';
  return [part];
}

/* Encodes the images and the prompts, once for each prompt, and makes a row for each response. */
function startBatch(model: Qwen25VL, inputs: ModelInputs, settings: Settings): GenerationBatch {
  const { samples, seed, maxNewTokens, choice } = settings;
  const streams = contentStreams(inputs, model.config).flatMap((stream) =>
    Array.from({ length: samples }, (_, sample) => [...stream, sample]),
  );
  const responses = sampleKeys(seed, streams).map((key, row) => ({
    row,
    prompt: Math.floor(row / samples),
    key,
    tokens: [],
    finished: false,
  }));
  const { batch, prefilled } = prefill(model, inputs);
  return new GenerationBatch(model, batch, prefilled, responses, choice, maxNewTokens);
}
