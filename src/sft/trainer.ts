import * as tf from '@tensorflow/tfjs';
import type { SftConfig } from '../config/sft.ts';
import { mapAhead } from '../data/image/pool.ts';
import { readRows } from '../data/readers/dataset.ts';
import { encodeRows, type SupervisedRow } from '../data/supervised.ts';
import { roundLength } from '../model/inputs.ts';
import type { StageInputs } from '../stage/inputs.ts';
import { runSteps, type StepFigures, type TrainOptions, type TrainResult } from '../stage/loop.ts';
import { inStage, type OpenStage } from '../stage/open.ts';
import { planTraining, predictionOf } from '../stage/planSft.ts';
import { type Accumulator, createAccumulator } from '../train/accumulate.ts';
import { firstState, resumeFrom, type TrainingState } from '../train/checkpoint.ts';
import { collate, type Example } from '../train/examples.ts';
import { supervise } from '../train/loss.ts';
import { createOptimiser, type Optimiser } from '../train/optimiser.ts';
import { startTrainingProgress } from '../train/run/progress.ts';
import { learningRateAt } from '../train/schedule.ts';
import { microBatches, planSteps, rowsOfStep, type StepPlan } from '../train/steps.ts';
import type { TrainedModel } from '../train/trainedModel.ts';
import { createVjp, type Gradients, type Vjp } from '../train/vjp.ts';

/**
 * Chain-of-thought fine-tuning (stage 1; paper, section 3.1): teaches a model to reason as the rows do.
 *
 * @throws ConfigError if the run's folder is in use, or a setting does not fit the model
 * @throws DataError if rows cannot be used
 * @throws CheckpointError if the model or a checkpoint cannot be read or written
 * @throws BackendError if too many steps in a row are not finite
 */
export async function trainSft(config: SftConfig, options: TrainOptions): Promise<TrainResult> {
  return inStage(config, options, async (opened) => {
    const { run, model, inputs } = opened;
    const { rows, tooLong } = await readTrainingRows(config, inputs);
    const plan = planSteps(rows.length, { ...config, rowsPerStep: config.batch.rowsPerStep });
    const training = { ...opened, config, rows, tooLong, plan, signal: options.signal };
    const predicted = await planTraining({ ...training, model: model.network.config });
    run.note({ rowsTooLong: tooLong, plan, predicted: predictionOf(predicted) });
    return train(training);
  });
}

async function readTrainingRows(
  { data }: SftConfig,
  inputs: StageInputs,
): Promise<{ rows: SupervisedRow[]; tooLong: number }> {
  const chats = (await Promise.all(data.train.map((path) => readRows(path, 'chat')))).flat();
  const { rows, tooLong } = await encodeRows(chats, { ...inputs, cutoffTokens: data.cutoffTokens });
  return { rows, tooLong: tooLong.length };
}

interface Training extends OpenStage {
  config: SftConfig;
  rows: readonly SupervisedRow[];
  tooLong: number;
  plan: StepPlan;
  signal: AbortSignal | undefined;
}

async function train(training: Training): Promise<TrainResult> {
  const { config, run, model, inputs, rows, validationRows, plan, signal } = training;
  const { network, trained } = model;
  const { checkpointing, optimiser: settings, seed } = config;
  const { fused } = network.functions;
  const vjp = createVjp(network, checkpointing === 'auto' ? {} : { checkpointing });
  using optimiser = createOptimiser(trained, settings, fused);
  using accumulator = createAccumulator(fused);
  using progress = startTrainingProgress('SFT', plan.totalSteps);
  const state = run.resumedFrom ? resumeFrom(run.resumedFrom.folder, optimiser) : firstState();
  if (training.tooLong > 0) {
    progress.warnOnce(
      'rows left out',
      `${training.tooLong} rows have more than ${config.data.cutoffTokens} tokens.`,
    );
  }
  const names = new Set(trained.keys());
  const tools = { config, network, names, vjp, accumulator, optimiser, inputs };
  const takeStep = async (now: TrainingState): Promise<StepFigures> => {
    const learningRate = learningRateAt(now.step, settings.learningRate, config.schedule, plan.totalSteps);
    const stepRows = rowsOfStep(now.step, plan, seed).map((row) => rows[row] as SupervisedRow);
    const figures = await updateBy(stepRows, { ...tools, learningRate });
    if (figures.skipped === 0) now.updates++;
    return { epoch: (now.step + 1) / plan.stepsPerEpoch, ...figures };
  };
  const { totalSteps } = plan;
  return await runSteps(
    { config, run, model, optimiser, inputs, validationRows, progress, totalSteps, signal, takeStep },
    state,
  );
}

/** What a step of fine-tuning gives. */
interface SftFigures extends StepFigures {
  learningRate: number;
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
async function updateBy(rows: readonly SupervisedRow[], tools: StepTools): Promise<SftFigures> {
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
