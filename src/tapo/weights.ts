import type { TapoLoss } from '../config/tapoLoss.ts';

/** What a token of each response weighs in the means of the loss; see `ObjectiveWeights`. */
export interface TokenWeights {
  policy: Float32Array;
  entropy: Float32Array;
  sft: Float32Array;
}

export interface WeightOptions {
  /** responses of a micro-batch; with `mean-of-means` only */
  responsesPerMicroBatch: number;
  /** of a response; with `constant` only */
  maxNewTokens: number;
}

/**
 * Weights by which all means of the loss are sums over an update's tokens, however they are computed in parts: over all
 * tokens, or over micro-batches of consecutive responses of their means (released: each loss over the number of
 * micro-batches).
 *
 * @param lengths tokens of each response of an update, in order
 * @param correct 1 for right responses, 0 for others
 */
export function tokenWeights(
  lengths: readonly number[],
  correct: readonly number[],
  { average, accumulation }: Pick<TapoLoss, 'average' | 'accumulation'>,
  { responsesPerMicroBatch, maxNewTokens }: WeightOptions,
): TokenWeights {
  const count = lengths.length;
  const size = accumulation === 'token-mean' ? count : responsesPerMicroBatch;
  const parts = Math.ceil(count / size);
  const weights: TokenWeights = {
    policy: new Float32Array(count),
    entropy: new Float32Array(count),
    sft: new Float32Array(count),
  };
  for (let from = 0; from < count; from += size) {
    const to = Math.min(from + size, count);
    const sum = (of: (i: number) => number): number => {
      let total = 0;
      for (let i = from; i < to; i++) total += of(i);
      return total;
    };
    const tokens = sum((i) => lengths[i] as number);
    const rightTokens = sum((i) => (lengths[i] as number) * (correct[i] as number));
    for (let i = from; i < to; i++) {
      const bySequence = {
        token: tokens,
        sequence: (to - from) * (lengths[i] as number),
        constant: (to - from) * maxNewTokens,
      };
      weights.policy[i] = 1 / (bySequence[average] * parts);
      weights.entropy[i] = 1 / (tokens * parts);
      weights.sft[i] = rightTokens === 0 ? 0 : (correct[i] as number) / (rightTokens * parts);
    }
  }
  return weights;
}
