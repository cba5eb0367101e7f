import type { Model } from '../api/loadModel.ts';
import { ConfigError } from '../common/errors.ts';
import type { ImageSource } from '../data/image/decode.ts';
import { parseResponse } from '../data/text/answer.ts';
import type { Tokenizer } from '../data/text/tokenizer.ts';
import type { ModelInputs } from '../model/inputs.ts';
import { assertCandidates } from './candidates.ts';
import { commonBeginning, indexOfLargest, normalised } from './probabilities.ts';
import { INSTRUCTION, promptOf, QUESTION } from './prompt.ts';
import { reason, type Reasoning, withoutMark } from './reasoning.ts';

/** How to classify. */
export interface ClassifyOptions {
  /** default: asks for the name of the object; one that names the domain is better */
  question?: string;
  /** follows the question; default: that of the released stage 2; '': nothing */
  instruction?: string;
  /** what is less probable is refused; default 0: nothing is */
  minProbability?: number;
  /** tokens of the reasoning (without candidates: of the response), at most; default 2048 */
  maxNewTokens?: number;
  /** stops between two tokens, by throwing its reason */
  signal?: AbortSignal;
}

/** What a picture shows. */
export interface Classification {
  /** exactly one of the candidates, the most probable one; null: refused */
  label: string | null;
  refused: boolean;
  /** of each candidate, given the reasoning; they sum to 1. null without candidates */
  probabilities: Record<string, number> | null;
  /** what the model said before its answer */
  reasoning: string;
  /** the whole response; without an answer where a label is refused */
  response: string;
  /** the reasoning (without candidates: the response) was cut at `maxNewTokens` */
  truncated: boolean;
}

/** Tokens of a reasoning, at most, where nothing else is said: as many as in the evaluation, which calibrates. */
export const MAX_NEW_TOKENS = 2048;

/* What the trainings have between reasoning and answer: in all 404 rows of the released stage 1. */
const BEFORE_ANSWER = '</think>\n\n<answer>';
const AFTER_ANSWER = '</answer>';

/**
 * Names what a picture shows: the model reasons freely (greedily), and its answer is one of the candidates.
 *
 * A candidate's probability is exp of the summed log-probabilities of `name</answer>` behind the reasoning, over the sum
 * of those of all candidates; the label is the most probable candidate, the first of equally probable ones. All are
 * scored, so that no beginning of a name can lead astray, as it can in decoding token by token; and the end mark is
 * scored too, so that a name within another one ("petunia", "petunia hybrid") is none the better for it.
 *
 * @param image a file, or its content
 * @param candidates null: none; the label is then whatever the model answers, and refused where it answers nothing
 * @throws ConfigError if the candidates or an option cannot be used
 * @throws DataError if the picture cannot be used
 */
export async function classify(
  model: Model,
  image: ImageSource,
  candidates: readonly string[] | null,
  options: ClassifyOptions = {},
): Promise<Classification> {
  const { question = QUESTION, instruction = INSTRUCTION, signal } = options;
  const { minProbability = 0, maxNewTokens = MAX_NEW_TOKENS } = options;
  if (candidates !== null) assertCandidates(candidates, 'candidates');
  assertMinProbability(minProbability, candidates !== null);
  const text = promptOf({ question, instruction, candidates });
  const inputs = await model.prepare(
    [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text }] }],
    [image],
  );
  const reasoning = await reason(model, inputs, { maxNewTokens, withAnswer: candidates === null, signal });
  const { truncated } = reasoning;
  const shared = { reasoning: withoutMark(reasoning.text), truncated };
  if (candidates === null) return { ...shared, ...ownAnswer(reasoning), probabilities: null };

  const logProbs = await scoreCandidates(model, inputs, reasoning, candidates);
  const probabilities = normalised(logProbs);
  const best = indexOfLargest(probabilities);
  const name = candidates[best] as string;
  const refused = (probabilities[best] as number) < minProbability;
  return {
    ...shared,
    label: refused ? null : name,
    refused,
    probabilities: Object.fromEntries(candidates.map((one, i) => [one, probabilities[i] as number])),
    response: reasoning.text + (refused ? '</think>' : BEFORE_ANSWER + name + AFTER_ANSWER),
  };
}

/**
 * @throws ConfigError if it is not a number from 0 to 1, or there is nothing that it could refuse
 */
export function assertMinProbability(minProbability: number, hasCandidates: boolean): void {
  if (!(minProbability >= 0 && minProbability <= 1)) {
    throw new ConfigError(`minProbability is ${minProbability}; a number from 0 to 1 was expected.`);
  }
  if (minProbability > 0 && !hasCandidates) {
    throw new ConfigError(
      `minProbability is ${minProbability}, but without candidates there are no probabilities. Give candidates, or leave ` +
        'it out.',
    );
  }
}

function ownAnswer({ said }: Reasoning): Pick<Classification, 'label' | 'refused' | 'response'> {
  const { answer = '' } = parseResponse(said);
  return { label: answer === '' ? null : answer, refused: answer === '', response: said };
}

/* Log-probabilities of the candidates, each up to the same number: what they begin with in common is not scored. */
async function scoreCandidates(
  model: Model,
  inputs: ModelInputs,
  { tokens, rest }: Reasoning,
  candidates: readonly string[],
): Promise<number[]> {
  // Encoded with what is around it, as in training: a name's first letters may share a token with the mark before them.
  const answers = candidates.map((name) =>
    (model.tokenizer as Tokenizer).encode(rest + BEFORE_ANSWER + name + AFTER_ANSWER),
  );
  const beginning = commonBeginning(answers);
  const [prompt = []] = inputs.inputIds;
  const ids = [...prompt, ...tokens, ...beginning];
  const { logProbs } = await model.score(
    { ...inputs, inputIds: [ids], attentionMask: [ids.map(() => 1)] },
    answers.map((answer) => answer.slice(beginning.length)),
  );
  return logProbs.map((ofTokens) => ofTokens.reduce((sum, logProb) => sum + logProb, 0));
}
