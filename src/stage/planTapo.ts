import { join } from 'node:path';
import { readJson } from '../common/json.ts';
import { readFreeDisk } from '../common/machine.ts';
import { type ModelConfig, parseModelConfig } from '../config/model.ts';
import { pickRuntime } from '../config/runtime.ts';
import { decided, type TapoConfig } from '../config/tapo.ts';
import { resolveModel } from '../data/hub.ts';
import { readRows } from '../data/readers/dataset.ts';
import { encodeTriplets, type TripletPrompts } from '../data/triplets.ts';
import { roundLength } from '../model/inputs.ts';
import { selectBackend, type SelectedBackend } from '../runtime/select.ts';
import type { Checkpointing } from '../train/vjp.ts';
import { openInputs } from './inputs.ts';
import { checkpointingOf, compileTime, diskOf, isFused, type Plan, tokenSeconds } from './plan.ts';
import { type BatchShape, countOf } from './planBatches.ts';
import { type Measured, measureTraining } from './planMeasure.ts';
import { planMemory } from './planMemory.ts';
import { readMachine } from './planSft.ts';
import { countElements, type PlannedShapes, readShapes } from './planShapes.ts';
import { countWork } from './planWork.ts';

/** What stage 2 will take, if each response is as long as it may be and the filter drops no group. */
export interface TapoPlan extends Pick<Plan, 'backend' | 'parameters' | 'memory' | 'disk' | 'fits'> {
  data: { triplets: number; tooLong: number; promptTokens: number; imageTokens: number };
  steps: {
    total: number;
    prompts: number;
    responses: number;
    updates: number;
    microBatches: number;
    checkpointing: Checkpointing;
  };
  time: {
    totalSeconds: number;
    rolloutSeconds: number;
    scoreSeconds: number;
    updateSeconds: number;
    compileSeconds: number;
    measured: Measured;
  };
}

/* Lengths of responses that come, by their buckets. */
const SHAPES = 3;

/**
 * Plans triplet augmented policy optimisation; no weight is loaded.
 * @throws ConfigError, DataError, CheckpointError, BackendError as the training would before its first step
 */
export async function planTapo(config: TapoConfig): Promise<TapoPlan> {
  const backend = await selectBackend(pickRuntime(config));
  const machine = readMachine();
  const folder = await resolveModel(config.model);
  const file = join(folder, 'config.json');
  const model = parseModelConfig(readJson(file), file);
  await using inputs = openInputs(folder, model, config.data);
  const triplets = (await Promise.all(config.data.train.map((path) => readRows(path, 'triplets')))).flat();
  const { rows, tooLong } = await encodeTriplets(triplets, { ...inputs, ...config.data });
  return await planTapoTraining({ config, backend, folder, model, rows, tooLong: tooLong.length, machine });
}

/** What is known when a training has its triplets. */
export interface TapoTraining {
  config: TapoConfig;
  backend: SelectedBackend;
  /** the model's folder, and its config */
  folder: string;
  model: ModelConfig;
  rows: readonly TripletPrompts[];
  tooLong: number;
  machine: { programBytes: number; availableBytes: number };
}

/**
 * Plans a training of stage 2: its layers are measured, which takes seconds.
 * @throws CheckpointError if the headers of the weights are missing or damaged
 */
export async function planTapoTraining(training: TapoTraining): Promise<TapoPlan> {
  const { config, folder, model, rows, machine } = training;
  const shapes = readShapes(folder, model, config);
  const checkpointing = checkpointingOf(config, shapes);
  const length = roundLength(meanOf(rows, ({ anchor }) => anchor.ids.length) + config.rollout.maxNewTokens);
  const measured = await measureTraining(model, { dtype: shapes.dtype, checkpointing, length });
  const freeDiskBytes = await readFreeDisk(config.output);
  return planOfTapo({ ...training, shapes, measured, machine: { ...machine, freeDiskBytes } });
}

/** What of a plan can be compared with how it went, for `run.json`. */
export const tapoPredictionOf = ({ steps, time, memory }: TapoPlan): Record<string, unknown> => ({
  steps: steps.total,
  seconds: time.totalSeconds,
  rolloutSeconds: time.rolloutSeconds,
  scoreSeconds: time.scoreSeconds,
  updateSeconds: time.updateSeconds,
  memoryBytes: memory.totalBytes,
  memory: memory.parts,
});

/** What a plan of stage 2 is made of. */
export interface TapoPlanInput {
  config: TapoConfig;
  backend: SelectedBackend;
  shapes: PlannedShapes;
  rows: readonly TripletPrompts[];
  tooLong: number;
  measured: Measured;
  machine: { programBytes: number; availableBytes: number; freeDiskBytes: number };
}

/** Foretells what stage 2 takes, from the shapes and a measurement. */
export function planOfTapo(input: TapoPlanInput): TapoPlan {
  const { config, backend, shapes, rows, tooLong, measured, machine } = input;
  const { batch, rollout } = config;
  const { loss } = decided(config);
  const checkpointing = checkpointingOf(config, shapes);
  const each = rollout.n1 + rollout.n2;
  const responses = batch.promptsPerStep * each;
  const updates = Math.ceil(batch.promptsPerStep / batch.promptsPerUpdate) * batch.passes;
  const microBatches = Math.ceil((batch.promptsPerUpdate * each) / batch.responsesPerMicroBatch);
  const total = config.steps ?? Math.ceil(((config.epochs ?? 1) * rows.length) / batch.promptsPerStep);
  const sizes = sizesOf(rows, shapes);
  const perPrompt = loss.trainPositiveOn === 'anchor' ? each : Math.max(rollout.n1, rollout.n2);
  const micro = sharedShape(batch.responsesPerMicroBatch, perPrompt, rollout.maxNewTokens, sizes);
  const trained = loss.negativeGradient ? doubled(micro) : micro;
  const prompts: BatchShape = {
    rows: Math.min(rollout.responsesAtOnce, responses),
    length: sizes.prompt,
    places: 0,
    images: Math.ceil(rollout.responsesAtOnce / perPrompt),
    patches: Math.ceil(rollout.responsesAtOnce / perPrompt) * sizes.patches,
  };
  const memory = planMemory(shapes, {
    config,
    checkpointing,
    fused: isFused(shapes),
    programBytes: machine.programBytes,
    microBatches: [trained],
    perStep: microBatches,
    shapesCompiled: SHAPES,
    generation: { prompts, maxNewTokens: rollout.maxNewTokens },
    hasReference: loss.klRef.coefficient > 0 && config.lora === undefined,
  });
  const counter = countWork(shapes);
  const { flops } = measured;
  const draws = Math.ceil(responses / prompts.rows);
  const rolloutSeconds =
    draws *
    (counter.prefill({ ...prompts, rows: prompts.images }) / flops +
      rollout.maxNewTokens * tokenSeconds(shapes, prompts.rows, measured));
  const scored = sharedShape(batch.responsesPerScoring, each, rollout.maxNewTokens, sizes);
  const passes =
    Number(!loss.negativeGradient && loss.klInter.coefficient + loss.entropyNegativeCoefficient > 0) +
    Number(loss.klRef.coefficient > 0) +
    (updates > 1 ? 1 - 1 / updates : 0);
  const scoreSeconds =
    (passes * Math.ceil(responses / batch.responsesPerScoring) * counter.prefill(scored)) / flops;
  const updateSeconds = (updates * microBatches * counter.training(trained, checkpointing)) / flops;
  const compileSeconds = compileTime(backend, checkpointing, 2 * SHAPES);
  const disk = diskOf(input, total, memory.parts.moments);
  return {
    backend,
    parameters: {
      all: countElements(shapes.parameters) + countElements(shapes.adapter),
      trained: countElements(shapes.trained),
      dtype: shapes.dtype,
    },
    data: { triplets: rows.length, tooLong, promptTokens: sizes.prompt, imageTokens: sizes.imageTokens },
    steps: { total, prompts: batch.promptsPerStep, responses, updates, microBatches, checkpointing },
    memory: { ...memory, availableBytes: machine.availableBytes },
    time: {
      totalSeconds: total * (rolloutSeconds + scoreSeconds + updateSeconds) + compileSeconds,
      rolloutSeconds,
      scoreSeconds,
      updateSeconds,
      compileSeconds,
      measured,
    },
    disk,
    fits: {
      memory: memory.totalBytes <= machine.availableBytes,
      disk: disk.totalBytes <= disk.freeBytes,
    },
  };
}

interface Sizes {
  /** tokens of a prompt */
  prompt: number;
  imageTokens: number;
  patches: number;
}

function sizesOf(rows: readonly TripletPrompts[], { model }: PlannedShapes): Sizes {
  const imageTokens = Math.round(meanOf(rows, ({ anchor }) => countOf(anchor.ids, model.imageTokenId)));
  return {
    prompt: roundLength(Math.max(...rows.map(({ anchor }) => anchor.ids.length))),
    imageTokens,
    patches: imageTokens * model.vision.spatialMergeSize ** 2,
  };
}

/* Responses that share their prompts, as rows with a part of the prompt each. */
function sharedShape(responses: number, perPrompt: number, length: number, sizes: Sizes): BatchShape {
  const prompts = Math.ceil(responses / perPrompt);
  return {
    rows: responses,
    length: length + Math.ceil((sizes.prompt * prompts) / responses),
    places: responses * length,
    images: prompts,
    patches: prompts * sizes.patches,
  };
}

const doubled = ({ length, ...counts }: BatchShape): BatchShape => ({
  length,
  rows: 2 * counts.rows,
  places: 2 * counts.places,
  images: 2 * counts.images,
  patches: 2 * counts.patches,
});

const meanOf = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((sum, item) => sum + of(item), 0) / items.length;
