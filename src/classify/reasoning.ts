import type { Model } from '../api/loadModel.ts';
import { createTextStream, type Tokenizer } from '../data/text/tokenizer.ts';
import type { ModelInputs } from '../model/inputs.ts';

/** What a model says before its answer. */
export interface Reasoning {
  /** up to the mark that ends it, `</think>` or `<answer>`, which is not in it */
  text: string;
  /** the tokens of the text but for its end, which shares a token with the mark */
  tokens: number[];
  /** that end; mostly a space */
  rest: string;
  /** all that was said, which may go on behind the mark */
  said: string;
}

export interface ReasonOptions {
  maxNewTokens: number;
  /** go on to the end of the response */
  withAnswer: boolean;
  signal?: AbortSignal | undefined;
}

const MARK = /<\/think>|<answer>/;

/** Lets a model reason, greedily. Errors as `Model.stream`. */
export async function reason(
  model: Model,
  inputs: ModelInputs,
  { maxNewTokens, withAnswer, signal }: ReasonOptions,
): Promise<Reasoning & { truncated: boolean }> {
  const tokenizer = model.tokenizer as Tokenizer;
  const stream = createTextStream(tokenizer);
  // A picture's token in a response means nothing, and could not be scored.
  const stopTokens = [...model.eosTokenIds, model.config.imageTokenId];
  const tokens: number[] = [];
  let said = '';
  let truncated = false;
  for await (const parts of model.stream(inputs, { maxNewTokens, stopTokens, ...(signal && { signal }) })) {
    for (const part of parts) {
      const more = part.tokens.filter((token) => !stopTokens.includes(token));
      tokens.push(...more);
      said += stream.push(more);
      truncated = part.finishReason === 'length';
    }
    // What is done at the limit is not cut by it.
    if (!withAnswer && MARK.test(said)) return { ...splitAtMark(tokens, tokenizer), truncated: false };
  }
  return { ...splitAtMark(tokens, tokenizer), truncated };
}

/** Splits what was said where the reasoning ends. */
export function splitAtMark(tokens: readonly number[], tokenizer: Tokenizer): Reasoning {
  const stream = createTextStream(tokenizer);
  // Places between tokens that are places between characters.
  const cuts = [{ tokens: 0, characters: 0 }];
  let said = '';
  const say = (text: string, end: number): void => {
    said += text;
    if (text !== '') cuts.push({ tokens: end, characters: said.length });
  };
  for (const [i, token] of tokens.entries()) say(stream.push([token]), i + 1);
  say(stream.end(), tokens.length);
  const text = said.slice(0, MARK.exec(said)?.index);
  const cut = cuts.findLast(({ characters }) => characters <= text.length) as (typeof cuts)[number];
  return { said, text, tokens: tokens.slice(0, cut.tokens), rest: text.slice(cut.characters) };
}

/** The reasoning alone: without the mark that opens it. */
export const withoutMark = (text: string): string => text.replace(/^\s*<think>/, '').trim();
