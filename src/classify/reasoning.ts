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
  /** it was cut at the limit */
  truncated: boolean;
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
): Promise<Reasoning> {
  const stream = createTextStream(model.tokenizer as Tokenizer);
  // A picture's token in an answer means nothing, and could not be scored.
  const stopTokens = [...model.eosTokenIds, model.config.imageTokenId];
  const tokens: number[] = [];
  // Places between tokens that are places between characters.
  const cuts = [{ tokens: 0, characters: 0 }];
  let said = '';
  let truncated = false;
  for await (const parts of model.stream(inputs, { maxNewTokens, stopTokens, ...(signal && { signal }) })) {
    for (const part of parts) {
      for (const token of part.tokens.filter((one) => !stopTokens.includes(one))) {
        tokens.push(token);
        const text = stream.push([token]);
        said += text;
        if (text !== '') cuts.push({ tokens: tokens.length, characters: said.length });
      }
      truncated = part.finishReason === 'length';
    }
    if (!withAnswer && MARK.test(said)) break;
  }
  const end = stream.end();
  said += end;
  if (end !== '') cuts.push({ tokens: tokens.length, characters: said.length });
  const at = MARK.exec(said)?.index;
  const text = said.slice(0, at);
  const cut = cuts.findLast(({ characters }) => characters <= text.length) as (typeof cuts)[number];
  return {
    text,
    tokens: tokens.slice(0, cut.tokens),
    rest: text.slice(cut.characters),
    said,
    truncated: truncated && (withAnswer || at === undefined),
  };
}

/** The reasoning alone: without the mark that opens it. */
export const withoutMark = (text: string): string => text.replace(/^\s*<think>/, '').trim();
