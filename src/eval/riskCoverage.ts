import { DataError } from '../common/errors.ts';
import { createRandom, shuffled } from '../common/random.ts';
import { bootstrapMean, type Estimate } from './bootstrap.ts';

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

/** The point that gives most answers at a risk of at most `maxRisk`; undefined where there is none. */
export const pointForRisk = (
  curve: readonly RiskCoveragePoint[],
  maxRisk: number,
): RiskCoveragePoint | undefined => curve.find(({ risk }) => risk <= maxRisk);

/** What a threshold gives. */
export interface Trial {
  threshold: number;
  coverage: number;
  /** undefined where no answer is given */
  risk?: Estimate;
}

/** A threshold for a wished risk. */
export interface Calibration {
  maxRisk: number;
  /** the least threshold of this risk at most, by all outcomes; undefined where there is none */
  chosen?: Trial;
  /** what to expect of it elsewhere: one chosen in the same way on half of the outcomes, tried on the other half */
  held?: Trial;
}

/**
 * The threshold that gives most answers at a risk of at most `maxRisk`.
 * @param seed of the halves
 * @throws DataError as `riskCoverage`
 */
export function calibrate(outcomes: readonly Outcome[], maxRisk: number, seed: number): Calibration {
  const chosen = pointForRisk(riskCoverage(outcomes), maxRisk);
  const mixed = shuffled(createRandom(seed, 'calibration'), outcomes);
  const half = Math.ceil(mixed.length / 2);
  const ofHalf = pointForRisk(riskCoverage(mixed.slice(0, half)), maxRisk);
  return {
    maxRisk,
    ...(chosen && { chosen: tryThreshold(outcomes, chosen.threshold, seed) }),
    ...(ofHalf && mixed.length > half && { held: tryThreshold(mixed.slice(half), ofHalf.threshold, seed) }),
  };
}

function tryThreshold(outcomes: readonly Outcome[], threshold: number, seed: number): Trial {
  const given = outcomes.filter(({ probability }) => probability >= threshold);
  const wrong = given.map(({ right }) => Number(!right));
  return {
    threshold,
    coverage: given.length / outcomes.length,
    ...(wrong.length > 0 && { risk: bootstrapMean(wrong, seed) }),
  };
}

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
