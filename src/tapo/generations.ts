import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ImageSource } from '../data/image/decode.ts';
import type { GenerationRow } from '../train/run/runFolder.ts';
import { answerOf } from './reward.ts';
import type { Group } from './groups.ts';
import type { Prepared } from './update.ts';

/** Hashes of pictures, each computed once. */
export function createImageHashes(): (image: ImageSource) => string {
  const known = new Map<ImageSource, string>();
  return (image) => {
    const found = known.get(image);
    if (found !== undefined) return found;
    const hash = createHash('sha256')
      .update(typeof image === 'string' ? readFileSync(image) : image)
      .digest('hex');
    known.set(image, hash);
    return hash;
  };
}

/**
 * The rows of a step for `generations.jsonl`: every response that was drawn, trained on or not.
 * @param all groups, in the order in which they were drawn
 * @param trained the responses that were trained on
 */
export function generationRows(
  step: number,
  all: readonly Group[],
  trained: readonly Prepared[],
  hashOf: (image: ImageSource) => string,
): GenerationRow[] {
  const preparedOf = new Map(trained.map((one) => [one.response, one]));
  return all.flatMap((group, g) => {
    const { triplet, number, responses } = group;
    const describe = (image: ImageSource): { path?: string; sha256: string } => ({
      ...(typeof image === 'string' && { path: image }),
      sha256: hashOf(image),
    });
    return responses.map((response) => ({
      step,
      group: g,
      row: number,
      prompt: triplet.prompt,
      label: triplet.answer,
      picture: response.picture,
      sample: response.sample,
      images: [describe(triplet[response.picture].image), describe(triplet.negative.image)],
      response: response.text,
      answer: answerOf(response.text) ?? null,
      tokens: response.tokens.length,
      truncated: response.truncated,
      reward: response.reward,
      trained: preparedOf.has(response),
      advantage: preparedOf.get(response)?.advantage ?? null,
    }));
  });
}
