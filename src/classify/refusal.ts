import { DataError } from '../common/errors.ts';

/** An answer: how probable the model held it, and whether it was right. */
export interface Outcome {
  probability: number;
  right: boolean;
}

/** What comes of refusing whatever is less probable than a threshold. */
export interface RiskCoveragePoint {
  /** answers of at least this probability are given (`--min-probability`) */
  threshold: number;
  /** share of all answers that are given */
  coverage: number;
  /** share of the given answers that are wrong */
  risk: number;
}

/**
 * The risk-coverage curve (R. El-Yaniv and Y. Wiener, "On the foundations of noise-free selective classification", 2010):
 * a point for each probability that occurs, thresholds rising and coverage falling strictly. The first one gives all
 * answers.
 *
 * @throws DataError without outcomes, or if a probability is not a number from 0 to 1
 */
export function riskCoverage(outcomes: readonly Outcome[]): RiskCoveragePoint[] {
  assertOutcomes(outcomes);
  const sorted = [...outcomes].sort((a, b) => b.probability - a.probability);
  const points: RiskCoveragePoint[] = [];
  let wrong = 0;
  for (const [i, { probability, right }] of sorted.entries()) {
    if (!right) wrong++;
    // A threshold takes all answers of its probability.
    if (sorted[i + 1]?.probability === probability) continue;
    points.push({ threshold: probability, coverage: (i + 1) / sorted.length, risk: wrong / (i + 1) });
  }
  return points.reverse();
}

/**
 * The point that gives most answers at a risk of at most `maxRisk`; undefined where there is none. The risk is that of
 * the outcomes that the curve is of: take others to find out what it really is.
 */
export const pointForRisk = (
  curve: readonly RiskCoveragePoint[],
  maxRisk: number,
): RiskCoveragePoint | undefined => curve.find(({ risk }) => risk <= maxRisk);

function assertOutcomes(outcomes: readonly Outcome[]): void {
  if (outcomes.length === 0) {
    throw new DataError('A risk-coverage curve needs outcomes, and there are none; give at least one.');
  }
  const at = outcomes.findIndex(({ probability }) => !(probability >= 0 && probability <= 1));
  if (at === -1) return;
  throw new DataError(
    `The probability of outcome ${at} is ${outcomes[at]?.probability}; a number from 0 to 1 was expected.`,
  );
}
