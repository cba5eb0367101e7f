import { BackendError } from '../common/errors.ts';
import type { SftConfig } from '../config/sft.ts';
import type { EvalRow } from '../data/rows.ts';
import { saveCheckpoint, type TrainingState } from '../train/checkpoint.ts';
import type { Optimiser } from '../train/optimiser.ts';
import { checkpointFolder, pruneCheckpoints } from '../train/run/checkpoints.ts';
import type { TrainingProgress } from '../train/run/progress.ts';
import type { Run } from '../train/run/runFolder.ts';
import type { TrainedModel } from '../train/trainedModel.ts';
import type { StageInputs } from './inputs.ts';
import { validate, type Validation } from './validate.ts';

/** How a training is started. */
export interface TrainOptions {
  /** go on from the newest checkpoint of the run */
  resume: boolean;
  /** stops after the step under way, or within it, with a checkpoint */
  signal?: AbortSignal | undefined;
}

/** What a training ended with. */
export interface TrainResult {
  /** the last checkpoint: a model's folder */
  checkpoint: string;
  state: TrainingState;
  /** false where it was told to stop */
  finished: boolean;
}

/** What a step gave, for the metrics. */
export interface StepFigures extends Record<string, number> {
  loss: number;
  gradientNorm: number;
  /** 1 where the step was not finite, and so left out */
  skipped: number;
  /** tokens that were computed, without padding */
  tokens: number;
}

/** What a stage trains with. */
export interface Stage {
  config: Pick<SftConfig, 'output' | 'checkpoints' | 'validation' | 'maxBadSteps'>;
  run: Run;
  model: TrainedModel;
  optimiser: Optimiser;
  inputs: StageInputs;
  validationRows: readonly EvalRow[];
  progress: TrainingProgress;
  totalSteps: number;
  signal: AbortSignal | undefined;
  /** Does one step; may note in the state what a resumed run has to know. */
  takeStep(state: TrainingState): Promise<StepFigures>;
  /** What is so wrong after a step that the training has to stop, if anything. */
  alarm?(figures: StepFigures, state: TrainingState): string | undefined;
  /** what the progress line says besides loss and speed */
  describe?(figures: StepFigures): string;
  /** rows of the closing table besides those of every stage */
  summary?(last: StepFigures | undefined): [string, string][];
}

/**
 * Takes the steps of a training: validation, metrics, progress and checkpoints between them. Told to stop, it saves
 * where it is.
 *
 * @param state where it begins; it is changed
 * @throws BackendError if too many steps in a row are not finite, or a step ends in an alarm, after it is saved
 */
export async function runSteps(stage: Stage, state: TrainingState): Promise<TrainResult> {
  const { config, run, model, inputs, validationRows, progress, totalSteps, signal } = stage;
  const { checkpoints, validation } = config;
  let last: StepFigures | undefined;
  let checked: Validation | undefined;
  while (state.step < totalSteps && signal?.aborted !== true) {
    const figures = await untilStopped(stage.takeStep(state), signal);
    if (figures === undefined) break;
    last = figures;
    noteOutcome(state, last, config.maxBadSteps, progress);
    const isLast = state.step === totalSteps;
    const isValidated = validation !== undefined && (isLast || state.step % validation.everySteps === 0);
    if (isValidated) {
      checked = await validate(model.network, validationRows, inputs, validation.maxNewTokens);
      if (checked.accuracy > (state.best?.accuracy ?? -1)) {
        state.best = { step: state.step, accuracy: checked.accuracy };
      }
    }
    run.logStep({ step: state.step, ...last, ...(isValidated ? prefixed(checked) : {}) });
    progress.step({
      step: state.step,
      loss: last.loss,
      tokens: last.tokens,
      ...(stage.describe && { more: stage.describe(last) }),
    });
    const alarm = stage.alarm?.(last, state);
    const isBest = state.best?.step === state.step;
    const isDue = isLast || isBest || state.step % checkpoints.everySteps === 0;
    if (isDue || alarm !== undefined) save(stage, state);
    if (alarm !== undefined) {
      throw new BackendError(`${alarm} Saved as ${checkpointFolder(config.output, state.step)}.`);
    }
  }
  const folder = checkpointFolder(config.output, state.step);
  const finished = state.step >= totalSteps;
  if (!finished) save(stage, state);
  progress.close([
    ...summary(state, totalSteps, last, checked),
    ...(stage.summary?.(last) ?? []),
    ['checkpoint', folder],
  ]);
  return { checkpoint: folder, state, finished };
}

/* What is under way may be broken off by the signal: it has changed nothing then. */
async function untilStopped<T>(step: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
  try {
    return await step;
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) return undefined;
    throw error;
  }
}

const prefixed = (validation: Validation | undefined): Record<string, number> =>
  Object.fromEntries(
    Object.entries(validation ?? {}).map(([name, value]) => [`validation/${name}`, value as number]),
  );

function noteOutcome(
  state: TrainingState,
  { skipped, loss, gradientNorm }: StepFigures,
  maxBadSteps: number,
  progress: TrainingProgress,
): void {
  state.step++;
  if (skipped === 0) {
    state.badSteps = 0;
    return;
  }
  state.badSteps++;
  state.skippedSteps++;
  const what = `loss ${loss}, norm of the gradient ${gradientNorm}`;
  progress.warnOnce('steps skipped', `Step ${state.step} is not finite (${what}); it changes nothing.`);
  if (state.badSteps < maxBadSteps) return;
  throw new BackendError(
    `${state.badSteps} steps in a row, up to step ${state.step}, were not finite (${what}). Lower optimiser.learningRate, ` +
      'or look for rows that are wrong; the last checkpoint is from before.',
  );
}

function save({ config, run, model, optimiser, inputs }: Stage, state: TrainingState): void {
  run.sync();
  saveCheckpoint(checkpointFolder(config.output, state.step), {
    model,
    optimiser,
    state,
    images: inputs.imageConfig,
  });
  pruneCheckpoints(config.output, config.checkpoints.keepLast, state.best?.step);
}

function summary(
  { step, skippedSteps, best }: TrainingState,
  totalSteps: number,
  last: StepFigures | undefined,
  checked: Validation | undefined,
): [string, string][] {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  return [
    ['steps', `${step} of ${totalSteps}`],
    ['steps skipped', String(skippedSteps)],
    ['loss of the last step', last?.loss.toFixed(4) ?? 'none'],
    ...(checked === undefined
      ? []
      : ([
          ['validation accuracy', percent(checked.accuracy)],
          ['responses in the right form', percent(checked.wellFormed)],
          ['best validation', `${percent(best?.accuracy ?? 0)} at step ${best?.step ?? 0}`],
        ] satisfies [string, string][])),
  ];
}
