import type { ImageConfig } from '../../config/image.ts';
import type { ImageSource } from '../image/decode.ts';
import { labelKey } from '../readers/classFolders.ts';
import type { DataKind, RowKinds } from '../rows.ts';
import { withOptions } from '../text/question.ts';
import { parseResponse } from '../text/answer.ts';
import { encodeConversation, encodePrompt, IMAGE_MARK } from '../text/conversation.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { contains } from './names.ts';
import type { ProblemCode } from './problems.ts';

/** What a row says, whatever its kind. */
export interface Reading {
  /** its sub-category, where that is known */
  label: string | undefined;
  split: 'train' | 'test';
  images: ImageSource[];
  /** in which unseen names are looked for */
  trainingText?: string;
  /** without its pictures' tokens; undefined where a row has no text, or it is not counted */
  textTokens: number | undefined;
  /** tokens that are taught */
  learnt?: number;
  /** each with what is particular to the row, or '' */
  problems: (readonly [ProblemCode, string])[];
}

/** By what text is counted. */
export interface CountOptions {
  tokenizer?: Tokenizer;
  imageConfig: ImageConfig;
}

/** Reads a row of each kind. Each throws DataError if the row cannot be encoded. */
export const readings: { [K in DataKind]: (row: RowKinds[K], options: CountOptions) => Reading } = {
  chat: ({ messages, images }, { tokenizer, imageConfig }) => {
    const label = parseResponse(messages.at(-1)?.content ?? '').answer;
    const spoken = messages.filter(({ role }) => role !== 'system').map(({ content }) => content);
    const { mergeSize } = imageConfig;
    const encoded =
      tokenizer && encodeConversation(tokenizer, messages, unitGrids(images.length, mergeSize), mergeSize);
    return {
      label,
      split: 'train',
      images,
      trainingText: spoken.join('\n'),
      textTokens: encoded && encoded.ids.length - images.length,
      learnt: encoded?.labels.filter((id) => id !== -100).length ?? 0,
      problems: label === undefined ? [['no-answer', '']] : [],
    };
  },
  triplets: ({ problem, answer, anchor, positive, negative }, options) => ({
    label: answer,
    split: 'train',
    images: [anchor, positive, negative],
    trainingText: `${problem}\n${answer}`,
    textTokens: countPrompt(problem, options),
    problems: anchor === positive || anchor === negative ? [['same-picture', '']] : [],
  }),
  eval: ({ question, options: names, groundTruth, image }, options) => {
    const longer = names.filter((name) => contains(name, groundTruth));
    const problems: Reading['problems'] = [];
    if (longer.length > 0) {
      problems.push(['truth-in-option', `"${longer.join('", "')}" contains "${groundTruth}"`]);
    }
    if (new Set(names.map(labelKey)).size < names.length) problems.push(['repeated-option', '']);
    const text = names.length === 0 ? question : withOptions(question, names);
    const textTokens = countPrompt(text, options);
    return { label: groundTruth, split: 'test', images: [image], textTokens, problems };
  },
  classes: ({ image, label, split, seen }) => ({
    label,
    split,
    images: [image],
    textTokens: undefined,
    problems: split === 'train' && !seen ? [['unseen-trained', label]] : [],
  }),
};

function countPrompt(text: string, { tokenizer, imageConfig }: CountOptions): number | undefined {
  if (tokenizer === undefined) return undefined;
  const { mergeSize } = imageConfig;
  const content = text.includes(IMAGE_MARK) ? text : `${IMAGE_MARK}${text}`;
  return encodePrompt(tokenizer, [{ role: 'user', content }], unitGrids(1, mergeSize), mergeSize).length - 1;
}

/* Pictures of one token each: their own are counted once their headers are read. */
const unitGrids = (count: number, mergeSize: number): [number, number, number][] =>
  Array.from({ length: count }, () => [1, mergeSize, mergeSize]);
