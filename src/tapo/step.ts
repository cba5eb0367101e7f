import * as tf from '@tensorflow/tfjs';
import { BackendError } from '../common/errors.ts';
import type { TapoConfig } from '../config/tapo.ts';
import type { TapoLoss } from '../config/tapoLoss.ts';
import type { TripletPicture } from '../data/triplets.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import type { Accumulator } from '../train/accumulate.ts';
import type { Optimiser } from '../train/optimiser.ts';
import type { Gradients } from '../train/vjp.ts';
import { groupAdvantages } from './advantage.ts';
import type { Group, Response } from './groups.ts';
import { joinMeasures, type LossMetrics } from './measures.ts';
import { type Member, membersOf, partsOf } from './microBatch.ts';
import { scoreMembers } from './score.ts';
import type { Prepared, Updater } from './update.ts';
import { tokenWeights } from './weights.ts';

/** What updates are made with. */
export interface UpdateTools {
  config: Pick<TapoConfig, 'batch' | 'rollout'>;
  loss: TapoLoss;
  model: Qwen25VL;
  /** the frozen policy of KL_ref, where the loss has it */
  reference: Qwen25VL | undefined;
  updater: Updater;
  accumulator: Accumulator;
  optimiser: Optimiser;
  signal: AbortSignal | undefined;
}

/** What the updates of a rollout batch gave. */
export interface Updated {
  /** every response with what it was trained with; `oldLogProbs` are all there */
  responses: Prepared[];
  /** means over the updates */
  metrics: LossMetrics & { gradientNorm: number; logProbDifference: number };
  updates: number;
  /** updates that were not finite, and left out */
  skipped: number;
  /** of prompts and responses, in the updates */
  tokens: number;
  padding: number;
  /** of responses that were scored before the updates, once for each picture and policy */
  scoredTokens: number;
  scoreSeconds: number;
  updateSeconds: number;
}

/* Of float32: engines that agree differ by less (rollouts are drawn token by token, scores are computed at once). */
const MAX_DIFFERENCE = 1e-3;

/**
 * Trains on a rollout batch (steps 3 to 7 of the method; released `fit` and `update_policy`): advantages, log-probabilities
 * of what is not computed in the update itself, and the updates.
 *
 * The first update is by the policy that drew the responses: its own log-probabilities are the old ones, and are not
 * computed apart.
 *
 * @throws BackendError if rollout and scoring do not agree on log-probabilities in float32
 * @throws the signal's reason before anything has changed
 */
export async function trainOnGroups(
  groups: readonly Group[],
  { learningRate, annealing }: { learningRate: number; annealing: number },
  tools: UpdateTools,
): Promise<Updated> {
  const { config, loss, updater, accumulator, optimiser, signal } = tools;
  const { promptsPerUpdate, passes, responsesPerMicroBatch } = config.batch;
  const started = performance.now();
  const batches = partsOf(groups, promptsPerUpdate).map((part) => prepare(part, groups, tools));
  const scoredTokens = await score(batches, tools);
  signal?.throwIfAborted();
  const scored = performance.now();
  const results: { metrics: LossMetrics; norm: number }[] = [];
  let [skipped, tokens, places] = [0, 0, 0];
  for (let pass = 0; pass < passes; pass++) {
    for (const batch of batches) {
      let gradients: Gradients | undefined;
      const measures: Float32Array[] = [];
      for (const part of partsOf(batch, responsesPerMicroBatch)) {
        const micro = await updater.microBatch(part, annealing);
        gradients = accumulator.add(gradients, micro.gradients);
        measures.push(micro.measures);
        tokens += micro.tokens;
        places += micro.places;
        part.forEach((one, i) => {
          one.oldLogProbs ??= micro.logProbs[i];
          one.logProbs ??= micro.logProbs[i] as Float32Array;
          one.negLogProbs ??= micro.negLogProbs?.[i];
        });
      }
      const total = gradients as Gradients;
      const metrics = joinMeasures(measures);
      if (results.length === 0) assertSameLogProbs(batch, loss, tools.model);
      const { norm, applied } = Number.isFinite(metrics.loss)
        ? await optimiser.update(total, learningRate)
        : { norm: NaN, applied: false };
      tf.dispose([...total.values()]);
      if (!applied) skipped++;
      results.push({ metrics, norm });
    }
  }
  const responses = batches.flat();
  const ended = performance.now();
  return {
    responses,
    metrics: {
      ...meanOf(results.map(({ metrics }) => metrics)),
      ratioMin: Math.min(...results.map(({ metrics }) => metrics.ratioMin)),
      ratioMax: Math.max(...results.map(({ metrics }) => metrics.ratioMax)),
      gradientNorm: results.reduce((sum, { norm }) => sum + norm, 0) / results.length,
      logProbDifference: differenceOf(responses, loss),
    },
    updates: results.length - skipped,
    skipped,
    tokens,
    padding: 1 - tokens / places,
    scoredTokens,
    scoreSeconds: (scored - started) / 1e3,
    updateSeconds: (ended - scored) / 1e3,
  };
}

/* The responses of an update, with their advantages and weights. */
function prepare(part: readonly Group[], all: readonly Group[], { config, loss }: UpdateTools): Prepared[] {
  const members = membersOf(part);
  const advantages = groupAdvantages(
    members.map(({ response }) => response.reward.overall),
    members.map(({ group }) => all.indexOf(group)),
    { byStd: loss.advantagesByStd },
  );
  const weights = tokenWeights(
    members.map(({ response }) => response.tokens.length),
    members.map(({ response }) => response.reward.accuracy),
    loss,
    {
      responsesPerMicroBatch: config.batch.responsesPerMicroBatch,
      maxNewTokens: config.rollout.maxNewTokens,
    },
  );
  return members.map((member, i) => ({
    ...member,
    advantage: advantages[i] as number,
    oldLogProbs: undefined,
    negLogProbs: undefined,
    refLogProbs: undefined,
    weights: {
      policy: weights.policy[i] as number,
      entropy: weights.entropy[i] as number,
      sft: weights.sft[i] as number,
    },
  }));
}

/* The log-probabilities that have to be there before the first update. Returns how many were computed. */
async function score(
  batches: readonly Prepared[][],
  { config, loss, model, reference }: UpdateTools,
): Promise<number> {
  const how = { temperature: config.rollout.temperature, atOnce: config.batch.responsesPerScoring };
  const pictureOf = trainedOn(loss);
  let scored = 0;
  const fill = async (
    key: 'oldLogProbs' | 'negLogProbs' | 'refLogProbs',
    policy: Qwen25VL,
    members: readonly Prepared[],
    seen: (response: Response) => TripletPicture,
  ): Promise<void> => {
    const { logProbs } = await scoreMembers(policy, members, seen, how);
    members.forEach((one, i) => {
      one[key] = logProbs[i];
      scored += one.response.tokens.length;
    });
  };
  const all = batches.flat();
  await fill('oldLogProbs', model, batches.slice(1).flat(), pictureOf);
  if (usesNegative(loss) && !loss.negativeGradient) await fill('negLogProbs', model, all, () => 'negative');
  if (reference !== undefined) await fill('refLogProbs', reference, all, pictureOf);
  return scored;
}

/** The picture that a response is trained on. */
export const trainedOn =
  ({ trainPositiveOn }: TapoLoss) =>
  ({ picture }: Response): 'anchor' | 'positive' =>
    trainPositiveOn === 'anchor' ? 'anchor' : picture;

/** Whether the loss has a term with the negative picture. */
export const usesNegative = ({ klInter, entropyNegativeCoefficient }: TapoLoss): boolean =>
  klInter.coefficient > 0 || entropyNegativeCoefficient > 0;

/* The largest difference between log-probabilities when drawn and when trained on, where both saw the same picture. */
function differenceOf(responses: readonly Prepared[], loss: TapoLoss): number {
  const pictureOf = trainedOn(loss);
  let largest = 0;
  for (const { response, oldLogProbs } of responses) {
    if (pictureOf(response) !== response.picture || oldLogProbs === undefined) continue;
    response.logProbs.forEach((value, t) => {
      largest = Math.max(largest, Math.abs(value - (oldLogProbs[t] as number)));
    });
  }
  return largest;
}

function assertSameLogProbs(batch: readonly Prepared[], loss: TapoLoss, model: Qwen25VL): void {
  const difference = differenceOf(batch, loss);
  if (model.cacheDType !== 'float32' || !(difference > MAX_DIFFERENCE)) return;
  throw new BackendError(
    `Log-probabilities of rollout and training differ by ${difference.toExponential(1)}; in float32 they agree to ` +
      `${MAX_DIFFERENCE}. One of the two computes something else: please report it, with config and model.`,
  );
}

function meanOf(metrics: readonly LossMetrics[]): LossMetrics {
  const names = Object.keys(metrics[0] ?? {}) as (keyof LossMetrics)[];
  return Object.fromEntries(
    names.map((name) => [name, metrics.reduce((sum, one) => sum + one[name], 0) / metrics.length]),
  ) as LossMetrics;
}

export type { Member };
