import { createRandom } from '../common/random.ts';
import type { TapoConfig } from '../config/tapo.ts';
import type { Tokenizer } from '../data/text/tokenizer.ts';
import { generate } from '../model/generate.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { collate } from '../train/examples.ts';
import type { LoadedTriplet, Response } from './groups.ts';

/** A response without its reward. */
export type Drawn = Omit<Response, 'reward'>;

/** What rollouts are made with. */
export interface RolloutTools {
  model: Qwen25VL;
  tokenizer: Tokenizer;
  stopTokens: readonly number[];
  config: Pick<TapoConfig, 'rollout' | 'seed'>;
  signal: AbortSignal | undefined;
  /** is told how many tokens came, as they come */
  onTokens?: (count: number) => void;
}

interface Prompt {
  triplet: number;
  picture: 'anchor' | 'positive';
  samples: number;
}

/**
 * Draws n1 responses on the anchor and n2 on the positive of each triplet (paper, section 3.2). Pictures are encoded and
 * prompts are prefilled once; the longest prompts come first, as many responses at once as the config says. A
 * response does not depend on what is drawn beside it.
 *
 * @param drawn prompts that were drawn before, which the random numbers follow from
 * @returns of each triplet, those on the anchor first
 * @throws the signal's reason between two tokens
 */
export async function rollOut(
  triplets: readonly LoadedTriplet[],
  drawn: number,
  { model, tokenizer, stopTokens, config: { rollout, seed }, signal, onTokens }: RolloutTools,
): Promise<Drawn[][]> {
  const { n1, n2, temperature, topP, maxNewTokens, responsesAtOnce } = rollout;
  const responses: Drawn[][] = triplets.map(() => []);
  const generateSeed = createRandom(seed, 'rollout', drawn).bits();
  const length = ({ triplet, picture }: Prompt): number =>
    (triplets[triplet] as LoadedTriplet).triplet[picture].ids.length;
  for (const [samples, prompts] of bySamples(triplets.length, n1, n2)) {
    prompts.sort((a, b) => length(b) - length(a));
    const atOnce = Math.max(1, Math.floor(responsesAtOnce / samples));
    for (let from = 0; from < prompts.length; from += atOnce) {
      const some = prompts.slice(from, from + atOnce);
      const inputs = collate(
        some.map(({ triplet, picture }) => {
          const { triplet: row, images } = triplets[triplet] as LoadedTriplet;
          return { ids: row[picture].ids, labels: [], images: [images[picture]] };
        }),
      );
      const options = { maxNewTokens, temperature, topP, stopTokens, samples, seed: generateSeed };
      const { tokens, logProbs, finishReasons } = await generate(
        model,
        inputs,
        { ...options, ...(signal && { signal }) },
        onTokens,
      );
      tokens.forEach((ids, i) => {
        const { triplet, picture } = some[Math.floor(i / samples)] as Prompt;
        (responses[triplet] as Drawn[]).push({
          picture,
          sample: i % samples,
          tokens: ids,
          logProbs: logProbs[i] as number[],
          truncated: finishReasons[i] === 'length',
          text: tokenizer.decode(ids, { skipSpecialTokens: true }),
        });
      });
    }
  }
  for (const some of responses) {
    some.sort((a, b) => a.picture.localeCompare(b.picture) || a.sample - b.sample);
  }
  return responses;
}

/* The prompts by how many responses they get: those with as many are generated together. */
function bySamples(triplets: number, n1: number, n2: number): Map<number, Prompt[]> {
  const groups = new Map<number, Prompt[]>();
  for (const [picture, samples] of [
    ['anchor', n1],
    ['positive', n2],
  ] as const) {
    if (samples === 0) continue;
    const prompts = Array.from({ length: triplets }, (_, triplet) => ({ triplet, picture, samples }));
    groups.set(samples, [...(groups.get(samples) ?? []), ...prompts]);
  }
  return groups;
}
