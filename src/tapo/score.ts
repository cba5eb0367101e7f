import type { Qwen25VL } from '../model/qwen25vl.ts';
import { type ResponseScores, scoreFamilies } from '../model/score.ts';
import type { TripletPicture } from '../data/triplets.ts';
import type { Response } from './groups.ts';
import { familiesOf, type Member, partsOf, seenTogether } from './microBatch.ts';

/**
 * Log-probabilities and entropies of responses with given pictures, as the policy has them now: `old_log_probs` with the
 * picture that each is trained on, `neg_log_probs` with the negative (paper, section 3.2; released
 * `compute_log_probs`, `compute_log_probs_aug`).
 *
 * @param atOnce responses that are computed at once
 */
export async function scoreMembers(
  model: Qwen25VL,
  members: readonly Member[],
  pictureOf: (response: Response) => TripletPicture,
  { temperature, atOnce }: { temperature: number; atOnce: number },
): Promise<ResponseScores> {
  const scores: ResponseScores = { logProbs: [], entropies: [] };
  for (const part of partsOf(members, atOnce)) {
    const { families, images } = familiesOf(seenTogether(part, pictureOf));
    const { logProbs, entropies } = await scoreFamilies(model, images, families, temperature);
    scores.logProbs.push(...logProbs);
    scores.entropies.push(...entropies);
  }
  return scores;
}
