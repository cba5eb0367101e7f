import * as tf from '@tensorflow/tfjs';
import { BackendError } from '../common/errors.ts';
import { createRandom, shuffled } from '../common/random.ts';
import { readImageConfig } from '../config/image.ts';
import { pickRuntime } from '../config/runtime.ts';
import type { SftConfig } from '../config/sft.ts';
import { resolveModel } from '../data/hub.ts';
import { mapAhead } from '../data/image/pool.ts';
import { assertSameImageConfig } from '../data/image/sameConfig.ts';
import { readRows } from '../data/readers/dataset.ts';
import type { EvalRow } from '../data/rows.ts';
import { encodeRows, type SupervisedRow } from '../data/supervised.ts';
import { roundLength } from '../model/inputs.ts';
import { selectBackend } from '../runtime/select.ts';
import { openInputs, type StageInputs } from '../stage/inputs.ts';
import { actualSince, planTraining, predictionOf, readMachine } from '../stage/planSft.ts';
import { validate, type Validation } from '../stage/validate.ts';
import { type Accumulator, createAccumulator } from '../train/accumulate.ts';
import { resumeFrom, saveCheckpoint, type TrainingState } from '../train/checkpoint.ts';
import { collate, type Example } from '../train/examples.ts';
import { supervise } from '../train/loss.ts';
import { createOptimiser, type Optimiser } from '../train/optimiser.ts';
import { checkpointFolder, pruneCheckpoints } from '../train/run/checkpoints.ts';
import { startTrainingProgress, type TrainingProgress } from '../train/run/progress.ts';
import { hashFiles, hashWeights } from '../train/run/provenance.ts';
import { openRun, type Run } from '../train/run/runFolder.ts';
import { learningRateAt } from '../train/schedule.ts';
import { microBatches, planSteps, rowsOfStep, type StepPlan } from '../train/steps.ts';
import { loadForTraining, type TrainedModel } from '../train/trainedModel.ts';
import { createVjp, type Gradients, type Vjp } from '../train/vjp.ts';

/** How a training is started. */
export interface TrainOptions {
  /** go on from the newest checkpoint of the run */
  resume: boolean;
  /** stops after the step under way, with a checkpoint */
  signal?: AbortSignal;
}

/** What a training ended with. */
export interface TrainResult {
  /** the last checkpoint: a model's folder */
  checkpoint: string;
  state: TrainingState;
  /** false where it was told to stop */
  finished: boolean;
}

/**
 * Chain-of-thought fine-tuning (stage 1; paper, section 3.1): teaches a model to reason as the rows do.
 *
 * @throws ConfigError if the run's folder is in use, or a setting does not fit the model
 * @throws DataError if rows cannot be used
 * @throws CheckpointError if the model or a checkpoint cannot be read or written
 * @throws BackendError if too many steps in a row are not finite
 */
export async function trainSft(config: SftConfig, { resume, signal }: TrainOptions): Promise<TrainResult> {
  using run = openRun(config.output, { config, resume });
  try {
    const backend = await selectBackend(pickRuntime(config));
    const machine = readMachine();
    const folder = await resolveModel(config.model, signal === undefined ? {} : { signal });
    using model = loadForTraining(folder, {
      ...config,
      lora: config.lora && { ...config.lora, baseModel: config.model },
      resumeFrom: run.resumedFrom?.folder,
    });
    await using inputs = openInputs(folder, model.network.config, config.data);
    if (run.resumedFrom !== undefined && config.lora === undefined) {
      const trained = readImageConfig(run.resumedFrom.folder, model.network.config.vision, {});
      assertSameImageConfig(trained, inputs.imageConfig, run.resumedFrom.folder);
    }
    const { rows, tooLong } = await readTrainingRows(config, inputs);
    const validationRows = await readValidationRows(config);
    const plan = planSteps(rows.length, { ...config, rowsPerStep: config.batch.rowsPerStep });
    run.note({ backend, model: folder, seed: config.seed, rowsTooLong: tooLong, plan });
    const predicted = await planTraining({
      config,
      backend,
      folder,
      model: model.network.config,
      inputs,
      rows,
      tooLong,
      validationRows,
      machine,
    });
    run.note({ predicted: predictionOf(predicted) });
    if (!resume) {
      run.note({ data: await hashFiles(config.data.train), weights: await hashWeights(folder) });
    }
    const firstStep = run.resumedFrom?.step ?? 0;
    const started = performance.now();
    const result = await train({ config, run, model, inputs, rows, tooLong, validationRows, plan, signal });
    run.note({ actual: actualSince(started, result.state.step - firstStep) });
    run.end(result.finished ? 'finished' : 'interrupted');
    return result;
  } catch (error) {
    run.end('failed');
    throw error;
  }
}

async function readTrainingRows(
  { data }: SftConfig,
  inputs: StageInputs,
): Promise<{ rows: SupervisedRow[]; tooLong: number }> {
  const chats = (await Promise.all(data.train.map((path) => readRows(path, 'chat')))).flat();
  const { rows, tooLong } = await encodeRows(chats, { ...inputs, cutoffTokens: data.cutoffTokens });
  return { rows, tooLong: tooLong.length };
}

/* A sample of the validation rows, the same in every validation. */
async function readValidationRows({ data, validation, seed }: SftConfig): Promise<EvalRow[]> {
  if (validation === undefined) return [];
  const rows = (await Promise.all((data.validation ?? []).map((path) => readRows(path, 'eval')))).flat();
  return shuffled(createRandom(seed, 'validation rows'), rows).slice(0, validation.rows);
}

interface Training {
  config: SftConfig;
  run: Run;
  model: TrainedModel;
  inputs: StageInputs;
  rows: readonly SupervisedRow[];
  tooLong: number;
  validationRows: readonly EvalRow[];
  plan: StepPlan;
  signal: AbortSignal | undefined;
}

async function train(training: Training): Promise<TrainResult> {
  const { config, run, model, inputs, rows, validationRows, plan, signal } = training;
  const { network, trained } = model;
  const { checkpointing, checkpoints, validation, optimiser: settings, seed } = config;
  const { fused } = network.functions;
  const vjp = createVjp(network, checkpointing === 'auto' ? {} : { checkpointing });
  using optimiser = createOptimiser(trained, settings, fused);
  using accumulator = createAccumulator(fused);
  using progress = startTrainingProgress('SFT', plan.totalSteps);
  const state: TrainingState = run.resumedFrom
    ? resumeFrom(run.resumedFrom.folder, optimiser)
    : { step: 0, updates: 0, badSteps: 0, skippedSteps: 0 };
  if (training.tooLong > 0) {
    progress.warnOnce(
      'rows left out',
      `${training.tooLong} rows have more than ${config.data.cutoffTokens} tokens.`,
    );
  }
  const names = new Set(trained.keys());
  let last: StepFigures | undefined;
  let checked: Validation | undefined;
  while (state.step < plan.totalSteps && signal?.aborted !== true) {
    const learningRate = learningRateAt(state.step, settings.learningRate, config.schedule, plan.totalSteps);
    const stepRows = rowsOfStep(state.step, plan, seed).map((row) => rows[row] as SupervisedRow);
    last = await takeStep(stepRows, {
      config,
      network,
      names,
      vjp,
      accumulator,
      optimiser,
      inputs,
      learningRate,
    });
    noteOutcome(state, last, config, progress);
    const isLast = state.step === plan.totalSteps;
    if (validation !== undefined && (isLast || state.step % validation.everySteps === 0)) {
      checked = await validate(network, validationRows, inputs, validation.maxNewTokens);
      if (checked.accuracy > (state.best?.accuracy ?? -1)) {
        state.best = { step: state.step, accuracy: checked.accuracy };
      }
    }
    const isNew = state.best?.step === state.step;
    const epoch = state.step / plan.stepsPerEpoch;
    run.logStep({
      step: state.step,
      epoch,
      ...last,
      ...(isValidated(state, config, isLast) ? prefixed(checked) : {}),
    });
    progress.step({ step: state.step, loss: last.loss, tokens: last.tokens });
    if (isLast || isNew || state.step % checkpoints.everySteps === 0) save(training, optimiser, state);
  }
  const folder = checkpointFolder(config.output, state.step);
  const finished = state.step >= plan.totalSteps;
  if (!finished) save(training, optimiser, state);
  progress.close(summary(state, plan, last, checked, folder));
  return { checkpoint: folder, state, finished };
}

const isValidated = ({ step }: TrainingState, { validation }: SftConfig, isLast: boolean): boolean =>
  validation !== undefined && (isLast || step % validation.everySteps === 0);

const prefixed = (validation: Validation | undefined): Record<string, number> =>
  Object.fromEntries(
    Object.entries(validation ?? {}).map(([name, value]) => [`validation/${name}`, value as number]),
  );

/** What a step gave. */
interface StepFigures extends Record<string, number> {
  loss: number;
  gradientNorm: number;
  learningRate: number;
  /** 1 where the step was not finite, and so left out */
  skipped: number;
  /** text and image tokens of the rows */
  tokens: number;
  learntTokens: number;
  /** share of what was computed that was padding */
  padding: number;
  seconds: number;
}

interface StepTools {
  config: SftConfig;
  network: TrainedModel['network'];
  names: ReadonlySet<string>;
  vjp: Vjp;
  accumulator: Accumulator;
  optimiser: Optimiser;
  inputs: StageInputs;
  learningRate: number;
}

/* Loss and gradient of a step's rows, micro-batch by micro-batch, and the update. */
async function takeStep(rows: readonly SupervisedRow[], tools: StepTools): Promise<StepFigures> {
  const { config, network, names, vjp, accumulator, optimiser, inputs, learningRate } = tools;
  const { accumulation } = config.batch;
  const started = performance.now();
  const batches = microBatches(rows, config.batch);
  const learntTokens = rows.reduce((sum, { learnt }) => sum + learnt, 0);
  const weightOf = (tokens: number): number =>
    accumulation === 'token-mean' ? 1 / learntTokens : 1 / (tokens * batches.length);
  let [loss, computed] = [0, 0];
  let gradients: Gradients | undefined;
  for await (const examples of mapAhead(batches, (batch) => readExamples(batch, inputs), 1)) {
    const part = await supervise(network, vjp, collate(examples), names, weightOf);
    loss += part.loss * weightOf(part.tokens);
    gradients = accumulator.add(gradients, part.gradients);
    computed += examples.length * roundLength(Math.max(...examples.map(({ ids }) => ids.length)));
  }
  const total = gradients as Gradients;
  const { norm, applied } = Number.isFinite(loss)
    ? await optimiser.update(total, learningRate)
    : { norm: NaN, applied: false };
  tf.dispose([...total.values()]);
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
  return {
    loss,
    gradientNorm: norm,
    learningRate,
    skipped: Number(!applied),
    tokens,
    learntTokens,
    padding: 1 - tokens / computed,
    seconds: (performance.now() - started) / 1e3,
  };
}

const readExamples = (rows: readonly SupervisedRow[], { pool }: StageInputs): Promise<Example[]> =>
  Promise.all(
    rows.map(async ({ ids, labels, images }) => ({
      ids,
      labels,
      images: await Promise.all(images.map((image) => pool.process(image))),
    })),
  );

function noteOutcome(
  state: TrainingState,
  { skipped, loss, gradientNorm }: StepFigures,
  { maxBadSteps }: SftConfig,
  progress: TrainingProgress,
): void {
  state.step++;
  if (skipped === 0) {
    state.updates++;
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

function save({ config, run, model, inputs }: Training, optimiser: Optimiser, state: TrainingState): void {
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
  { totalSteps }: StepPlan,
  last: StepFigures | undefined,
  checked: Validation | undefined,
  folder: string,
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
    ['checkpoint', folder],
  ];
}
