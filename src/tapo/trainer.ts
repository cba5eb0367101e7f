import { log } from '../common/log.ts';
import { decided, type TapoConfig } from '../config/tapo.ts';
import type { TapoLoss } from '../config/tapoLoss.ts';
import { readRows } from '../data/readers/dataset.ts';
import { encodeTriplets, type TripletPrompts } from '../data/triplets.ts';
import { runSteps, type StepFigures, type TrainOptions, type TrainResult } from '../stage/loop.ts';
import { inStage, type OpenStage } from '../stage/open.ts';
import { planTapoTraining, tapoPredictionOf } from '../stage/planTapo.ts';
import { createAccumulator } from '../train/accumulate.ts';
import { firstState, resumeFrom, type TrainingState } from '../train/checkpoint.ts';
import { createOptimiser } from '../train/optimiser.ts';
import { startTrainingProgress } from '../train/run/progress.ts';
import { learningRateAt } from '../train/schedule.ts';
import { soundAlarms } from './alarms.ts';
import { rolloutFigures } from './diagnostics.ts';
import { createImageHashes, generationRows } from './generations.ts';
import { openReference } from './reference.ts';
import { rewardOf, type RewardOf } from './rewardOf.ts';
import { rollOut } from './rollout.ts';
import { sampleGroups, type Sampling } from './sampling.ts';
import { trainOnGroups, type Updated, type UpdateTools } from './step.ts';
import { saveTokenRecord } from './tokenRecord.ts';
import { createUpdater } from './update.ts';

/**
 * Triplet augmented policy optimisation (stage 2; paper, section 3.2): a model that reasons learns from what its own
 * responses to anchors and positives earn, and to tell their pictures from look-alikes.
 *
 * @throws ConfigError if the run's folder is in use, a setting does not fit, or dynamic sampling finds too little
 * @throws DataError if triplets or their pictures cannot be used
 * @throws CheckpointError if the model or a checkpoint cannot be read or written
 * @throws BackendError if too many steps in a row are not finite, or an alarm sounds
 */
export async function trainTapo(config: TapoConfig, options: TrainOptions): Promise<TrainResult> {
  return inStage(config, options, async (opened) => {
    const { run, model, inputs } = opened;
    const { rows, tooLong } = await readTriplets(config, inputs);
    const classes = [...new Set(rows.flatMap(({ answer, options: named }) => [answer, ...named]))];
    const reward = await rewardOf(config.reward, classes);
    const totalSteps =
      config.steps ?? Math.ceil(((config.epochs ?? 1) * rows.length) / config.batch.promptsPerStep);
    const { loss, filters, keepAllWhenNone } = decided(config);
    const predicted = await planTapoTraining({
      ...opened,
      config,
      rows,
      tooLong,
      model: model.network.config,
    });
    run.note({
      predicted: tapoPredictionOf(predicted),
      triplets: rows.length,
      rowsTooLong: tooLong,
      classes,
      totalSteps,
      loss,
      filters,
      keepAllWhenNone,
    });
    log.info(describePlan(config, rows.length, totalSteps));
    return train({ ...opened, config, rows, tooLong, classes, reward, totalSteps, signal: options.signal });
  });
}

async function readTriplets(
  { data }: TapoConfig,
  inputs: OpenStage['inputs'],
): Promise<{ rows: TripletPrompts[]; tooLong: number }> {
  const triplets = (await Promise.all(data.train.map((path) => readRows(path, 'triplets')))).flat();
  const { rows, tooLong } = await encodeTriplets(triplets, { ...inputs, ...data });
  return { rows, tooLong: tooLong.length };
}

/* What the sizes of the config come to, in responses. */
function describePlan({ batch, rollout, variant }: TapoConfig, triplets: number, steps: number): string {
  const each = rollout.n1 + rollout.n2;
  const updates = Math.ceil(batch.promptsPerStep / batch.promptsPerUpdate);
  return (
    `${steps} steps (${variant}) on ${triplets} triplets: ${batch.promptsPerStep} prompts x (${rollout.n1} + ${rollout.n2}) = ` +
    `${batch.promptsPerStep * each} responses a step, ${updates * batch.passes} updates of ${batch.promptsPerUpdate} prompts ` +
    `(${batch.promptsPerUpdate * each} responses, ${batch.responsesPerMicroBatch} at once).`
  );
}

interface Training extends OpenStage {
  config: TapoConfig;
  rows: readonly TripletPrompts[];
  tooLong: number;
  classes: readonly string[];
  reward: RewardOf;
  totalSteps: number;
  signal: AbortSignal | undefined;
}

async function train(training: Training): Promise<TrainResult> {
  const { config, run, model, inputs, rows, validationRows, classes, reward, totalSteps, signal } = training;
  const { network, trained } = model;
  const { loss, filters, keepAllWhenNone } = decided(config);
  const { fused } = network.functions;
  using optimiser = createOptimiser(trained, config.optimiser, fused);
  using accumulator = createAccumulator(fused);
  using updater = createUpdater(network, {
    loss,
    temperature: config.rollout.temperature,
    trainable: new Set(trained.keys()),
    checkpointing: config.checkpointing,
  });
  using reference = loss.klRef.coefficient > 0 ? openReference(training) : undefined;
  using progress = startTrainingProgress('TAPO', totalSteps);
  const state = run.resumedFrom ? resumeFrom(run.resumedFrom.folder, optimiser) : firstState();
  const stage = (state.tapo ??= { drawn: 0, firstLength: null, warnings: {} });
  if (training.tooLong > 0) {
    progress.warnOnce(
      'triplets left out',
      `${training.tooLong} triplets have prompts of more than ${config.data.maxPromptTokens} tokens.`,
    );
  }
  const { tokenizer, stopTokens, pool } = inputs;
  let [drawnTokens, drawing] = [0, performance.now()];
  const onTokens = (count: number): void => {
    drawnTokens += count;
    const rate = drawnTokens / ((performance.now() - drawing) / 1e3);
    progress.during(`drawing responses: ${drawnTokens} tokens, ${Math.round(rate)} tokens/s`);
  };
  const rolloutTools = { model: network, tokenizer, stopTokens, config, signal, onTokens };
  const sampling: Sampling = {
    config,
    filters,
    keepAllWhenNone,
    rows,
    pool,
    rollOut: (triplets, drawn) => rollOut(triplets, drawn, rolloutTools),
    reward,
  };
  const tools: UpdateTools = {
    config,
    loss,
    model: network,
    reference,
    updater,
    accumulator,
    optimiser,
    signal,
  };
  const hashOf = createImageHashes();
  const takeStep = async (now: TrainingState): Promise<StepFigures> => {
    const started = performance.now();
    [drawnTokens, drawing] = [0, started];
    const learningRate = learningRateAt(now.step, config.optimiser.learningRate, config.schedule, totalSteps);
    const annealing = annealingAt(now.step, totalSteps, loss.klInter);
    const sampled = await sampleGroups(sampling, stage.drawn);
    const rolloutSeconds = (performance.now() - started) / 1e3;
    const updated = await trainOnGroups(sampled.groups, { learningRate, annealing }, tools);
    run.logGenerations(generationRows(now.step + 1, sampled.all, updated.responses, hashOf));
    saveTokenRecord(run.folder, now.step + 1, updated.responses, config.generations.keepSteps);
    stage.drawn = sampled.drawn;
    now.updates += updated.updates;
    return {
      epoch: stage.drawn / rows.length,
      ...asFigures(updated.metrics),
      learningRate,
      annealing,
      ...rolloutFigures(sampled, classes),
      skipped: Number(updated.updates === 0),
      updatesSkipped: updated.skipped,
      tokens: drawnTokens + updated.tokens,
      padding: updated.padding,
      'seconds/rollout': rolloutSeconds,
      'seconds/score': updated.scoreSeconds,
      'seconds/update': updated.updateSeconds,
      'tokensPerSecond/rollout': drawnTokens / rolloutSeconds,
      'tokensPerSecond/score': updated.scoredTokens / updated.scoreSeconds,
      'tokensPerSecond/update': updated.tokens / updated.updateSeconds,
      seconds: (performance.now() - started) / 1e3,
    };
  };
  return await runSteps(
    {
      config,
      run,
      model,
      optimiser,
      inputs,
      validationRows,
      progress,
      totalSteps,
      signal,
      takeStep,
      alarm: (figures) => soundAlarms(figures, stage, config.alarms),
      describe,
      summary: closingRows,
    },
    state,
  );
}

/* Gamma falls in a line to its final value by the last step; the entropies by the same factor. */
function annealingAt(
  step: number,
  totalSteps: number,
  { coefficient, finalCoefficient }: TapoLoss['klInter'],
): number {
  if (finalCoefficient === null || coefficient === 0) return 1;
  const share = totalSteps === 1 ? 1 : step / (totalSteps - 1);
  return 1 + share * (finalCoefficient / coefficient - 1);
}

/* The loss itself stays at the top; its parts go below it. */
function asFigures({
  loss,
  gradientNorm,
  logProbDifference,
  ...parts
}: Updated['metrics']): Record<'loss' | 'gradientNorm' | 'logProbDifference', number> {
  const below = Object.fromEntries(Object.entries(parts).map(([name, value]) => [`loss/${name}`, value]));
  return { loss, gradientNorm, logProbDifference, ...below };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const describe = (figures: StepFigures): string =>
  `right ${percent(figures['reward/accuracy'] as number)} (strict ${percent(figures['reward/strict'] as number)}) | ` +
  `form ${percent(figures['reward/format'] as number)} | KL ${(figures['loss/klInter'] as number).toFixed(3)} | ` +
  `${Math.round(figures['tokensPerSecond/rollout'] as number)} tokens/s drawn`;

const closingRows = (last: StepFigures | undefined): [string, string][] =>
  last === undefined
    ? []
    : [
        ['right in the last rollouts', percent(last['reward/accuracy'] as number)],
        ['the same, strictly', percent(last['reward/strict'] as number)],
        ['in the right form', percent(last['reward/format'] as number)],
        ['groups that the filter kept', percent(last['groups/acceptance'] as number)],
      ];
