import type { Tokenizer } from '../data/text/tokenizer.ts';
import { CheckpointError } from '../common/errors.ts';
import type { SiglipText } from '../model/siglip.ts';

/** An answer of the open world. */
export interface OpenAnswer {
  /** what stands in `<answer>`, or the whole response without one */
  text: string;
  label: string;
  /** what the picture shows in one word (`coarseName`) */
  coarse: string;
}

/**
 * The paper's open-world score: how much nearer to the label an answer is than the coarse word is,
 * `max(0, (s - s0) / (1 - s0))`.
 *
 * @param s cosine of answer and label
 * @param s0 cosine of coarse word and label; a label that is the coarse word leaves nothing to gain: 0
 */
export const similarityScore = (s: number, s0: number): number =>
  s0 >= 1 ? 0 : Math.max(0, (s - s0) / (1 - s0));

/** Texts that are embedded at once. */
const BATCH = 64;

/**
 * Scores answers by SigLIP's text embeddings; each text is embedded once.
 *
 * @param onTexts is told how many texts are done, of how many
 * @throws CheckpointError if the tokenizer is no SigLIP's
 */
export async function scoreSimilarity(
  siglip: SiglipText,
  tokenizer: Tokenizer,
  answers: readonly OpenAnswer[],
  onTexts: (done: number, total: number) => void = () => undefined,
): Promise<number[]> {
  const texts = [...new Set(answers.flatMap(({ text, label, coarse }) => [text, label, coarse]))];
  const encode = textEncoder(tokenizer, siglip.config.maxTokens);
  const embeddings = new Map<string, Float32Array>();
  for (let from = 0; from < texts.length; from += BATCH) {
    const some = texts.slice(from, from + BATCH);
    // The last batch is filled up, so that one shape is compiled.
    const rows = Array.from({ length: BATCH }, (_, i) => encode(some[i] ?? ''));
    const vectors = await siglip.embed(rows);
    some.forEach((text, i) => embeddings.set(text, vectors[i] as Float32Array));
    onTexts(Math.min(from + BATCH, texts.length), texts.length);
  }
  const cosine = (a: string, b: string): number =>
    dot(embeddings.get(a) as Float32Array, embeddings.get(b) as Float32Array);
  return answers.map(({ text, label, coarse }) =>
    similarityScore(cosine(text, label), cosine(coarse, label)),
  );
}

const dot = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);

const PUNCTUATION = /[!-/:-@[-`{-~]/g;
/* Ends a text, and fills it up. */
const END = '</s>';

/**
 * Encodes texts as SigLIP's tokenizer does: lower case, without ASCII punctuation, single spaces; cut and filled up to
 * one length.
 */
export function textEncoder(tokenizer: Tokenizer, maxTokens: number): (text: string) => number[] {
  const end = tokenizer.idOf(END);
  if (end === undefined) {
    throw new CheckpointError(
      `The tokenizer has no token ${END}; expected that of a SigLIP. Take the checkpoint's tokenizer.json.`,
    );
  }
  return (text) => {
    const canonical = text.toLowerCase().replaceAll(PUNCTUATION, '').replaceAll(/\s+/gu, ' ').trim();
    const ids = tokenizer.encode(canonical).slice(0, maxTokens - 1);
    return [...ids, ...Array.from({ length: maxTokens - ids.length }, () => end)];
  };
}
