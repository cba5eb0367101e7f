import type { EvalRow } from '../data/rows.ts';
import { withOptions } from '../data/text/question.ts';
import { isSameName, parseResponse } from '../data/text/answer.ts';
import { encodePrompt, IMAGE_MARK } from '../data/text/conversation.ts';
import { generate } from '../model/generate.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { collate, type Example } from '../train/examples.ts';
import type { StageInputs } from './inputs.ts';

/** What a model answers, greedily, to questions with the options named. */
export interface Validation {
  /** share of the answers that are exactly the right name */
  accuracy: number;
  /** share of the responses in the paper's form */
  wellFormed: number;
  /** share of the responses that were cut at the limit */
  truncated: number;
}

const RESPONSES_AT_ONCE = 32;

/** A model's answer to a question. */
export interface Answered {
  response: string;
  /** what stands in its `<answer>` */
  answer: string | undefined;
  /** it is exactly the right name */
  isRight: boolean;
  isWellFormed: boolean;
  truncated: boolean;
}

/**
 * Asks a model, and compares its answers with the truth.
 * @throws DataError that names the file of a picture that cannot be used
 */
export async function validate(
  model: Qwen25VL,
  rows: readonly EvalRow[],
  inputs: StageInputs,
  maxNewTokens: number,
): Promise<Validation> {
  const answered = await ask(model, rows, inputs, maxNewTokens);
  const share = (name: 'isRight' | 'isWellFormed' | 'truncated'): number =>
    answered.filter((one) => one[name]).length / rows.length;
  return { accuracy: share('isRight'), wellFormed: share('isWellFormed'), truncated: share('truncated') };
}

/** The answers that `validate` counts, of each row. Errors as there. */
export async function ask(
  model: Qwen25VL,
  rows: readonly EvalRow[],
  { tokenizer, pool, imageConfig, stopTokens }: StageInputs,
  maxNewTokens: number,
): Promise<Answered[]> {
  const promptOf = async ({ image, question, options }: EvalRow): Promise<Example> => {
    const processed = await pool.process(image);
    const text = options.length === 0 ? question : withOptions(question, options);
    const turns = [{ role: 'user' as const, content: IMAGE_MARK + text }];
    const ids = encodePrompt(tokenizer, turns, [processed.gridThw], imageConfig.mergeSize);
    return { ids, labels: ids, images: [processed] };
  };
  const answered: Answered[] = [];
  for (let from = 0; from < rows.length; from += RESPONSES_AT_ONCE) {
    const some = rows.slice(from, from + RESPONSES_AT_ONCE);
    const prompts = collate(await Promise.all(some.map(promptOf)));
    const { tokens, finishReasons } = await generate(model, prompts, { maxNewTokens, stopTokens });
    some.forEach(({ groundTruth }, i) => {
      const response = tokenizer.decode(tokens[i] as number[], { skipSpecialTokens: true });
      const { isWellFormed, answer } = parseResponse(response);
      answered.push({
        response,
        answer,
        isRight: answer !== undefined && isSameName(answer, groundTruth),
        isWellFormed,
        truncated: finishReasons[i] === 'length',
      });
    });
  }
  return answered;
}
