import type { EvalRow } from '../data/rows.ts';
import { withOptions } from '../data/synthetic/describer.ts';
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

/**
 * Asks a model, and compares its answers with the truth.
 * @throws DataError that names the file of a picture that cannot be used
 */
export async function validate(
  model: Qwen25VL,
  rows: readonly EvalRow[],
  { tokenizer, pool, imageConfig, stopTokens }: StageInputs,
  maxNewTokens: number,
): Promise<Validation> {
  const total: Validation = { accuracy: 0, wellFormed: 0, truncated: 0 };
  const promptOf = async ({ image, question, options }: EvalRow): Promise<Example> => {
    const processed = await pool.process(image);
    const text = options.length === 0 ? question : withOptions(question, options);
    const turns = [{ role: 'user' as const, content: IMAGE_MARK + text }];
    const ids = encodePrompt(tokenizer, turns, [processed.gridThw], imageConfig.mergeSize);
    return { ids, labels: ids, images: [processed] };
  };
  for (let from = 0; from < rows.length; from += RESPONSES_AT_ONCE) {
    const some = rows.slice(from, from + RESPONSES_AT_ONCE);
    const prompts = collate(await Promise.all(some.map(promptOf)));
    const { tokens, finishReasons } = await generate(model, prompts, { maxNewTokens, stopTokens });
    some.forEach(({ groundTruth }, i) => {
      const text = tokenizer.decode(tokens[i] as number[], { skipSpecialTokens: true });
      const { isWellFormed, answer } = parseResponse(text);
      total.accuracy += Number(answer !== undefined && isSameName(answer, groundTruth)) / rows.length;
      total.wellFormed += Number(isWellFormed) / rows.length;
      total.truncated += Number(finishReasons[i] === 'length') / rows.length;
    });
  }
  return total;
}
