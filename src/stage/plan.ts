import type { SftConfig } from '../config/sft.ts';
import type { SupervisedRow } from '../data/supervised.ts';
import type { SelectedBackend } from '../runtime/select.ts';
import { planSteps } from '../train/steps.ts';
import type { Checkpointing } from '../train/vjp.ts';
import { type BatchShape, countOf, planBatches } from './planBatches.ts';
import type { Measured } from './planMeasure.ts';
import { type MemoryPlan, planMemory } from './planMemory.ts';
import { countBytes, countElements, type PlannedShapes } from './planShapes.ts';
import { countWork } from './planWork.ts';

/** What a training will take. */
export interface Plan {
  backend: SelectedBackend;
  parameters: { all: number; trained: number; dtype: string };
  data: {
    rows: number;
    /** rows over the limit */
    tooLong: number;
    textTokens: number;
    imageTokens: number;
    learntTokens: number;
    images: number;
  };
  steps: {
    total: number;
    perEpoch: number;
    /** of a step */
    rows: number;
    microBatches: number;
    /** of the longest row, with padding */
    longest: number;
    checkpointing: Checkpointing;
  };
  memory: MemoryPlan & { availableBytes: number };
  time: {
    totalSeconds: number;
    /** compiling not counted */
    stepSeconds: number;
    compileSeconds: number;
    /** of all validations, each answer as long as it may be */
    validationSeconds: number;
    measured: Measured;
  };
  disk: { checkpointBytes: number; checkpoints: number; totalBytes: number; freeBytes: number };
  fits: { memory: boolean; disk: boolean };
}

/** The prompts of a validation. */
export interface PlannedValidation {
  rows: number;
  /** of those that are answered at once */
  prompts: BatchShape;
}

/** What a plan is made of. */
export interface PlanInput {
  config: SftConfig;
  backend: SelectedBackend;
  shapes: PlannedShapes;
  rows: readonly SupervisedRow[];
  tooLong: number;
  validation: PlannedValidation | undefined;
  measured: Measured;
  machine: {
    /** of this process before it has a model; on a GPU 0 */
    programBytes: number;
    /** that the training may take, the program's included */
    availableBytes: number;
    freeDiskBytes: number;
  };
}

/* Up to so many parameters all of a pass is one function (model/qwen25vl.ts), with so many tokens (train/vjp.ts). */
const FUSED_PARAMETERS = 1e8;
const WHOLE_VOCABULARY = 2 ** 15;

/** Whether functions of the whole model are compiled as one. */
export const isFused = ({ parameters, adapter }: PlannedShapes): boolean =>
  countElements(parameters) + countElements(adapter) <= FUSED_PARAMETERS;

/** How activations are kept, with what `auto` stands for. */
export const checkpointingOf = (
  { checkpointing }: Pick<SftConfig, 'checkpointing'>,
  shapes: PlannedShapes,
): Checkpointing =>
  checkpointing !== 'auto'
    ? checkpointing
    : isFused(shapes) && shapes.model.text.vocabSize <= WHOLE_VOCABULARY
      ? 'none'
      : 'blocks';

/** Foretells what a training takes, from the shapes and a measurement. */
export function planOf(input: PlanInput): Plan {
  const { config, backend, shapes, rows, tooLong, machine } = input;
  const steps = planSteps(rows.length, { ...config, rowsPerStep: config.batch.rowsPerStep });
  const checkpointing = checkpointingOf(config, shapes);
  const planned = planBatches(rows, steps, config, shapes.model);
  const rowsOfStep = Math.min(rows.length, config.batch.rowsPerStep);
  const microBatches = Math.ceil(rowsOfStep / config.batch.rowsPerMicroBatch);
  const validation = config.validation && input.validation;
  const memory = planMemory(shapes, {
    config,
    checkpointing,
    fused: isFused(shapes),
    programBytes: machine.programBytes,
    microBatches: planned.batches,
    perStep: microBatches,
    shapesCompiled: planned.shapes,
    generation: validation && {
      prompts: validation.prompts,
      maxNewTokens: config.validation?.maxNewTokens ?? 0,
    },
  });
  const time = timeOf(input, { ...planned, total: steps.totalSteps, microBatches, checkpointing });
  const disk = diskOf(input, steps.totalSteps, memory.parts.moments);
  const count = (of: (row: SupervisedRow) => number): number => rows.reduce((sum, row) => sum + of(row), 0);
  const imageTokens = count(({ ids }) => countOf(ids, shapes.model.imageTokenId));
  return {
    backend,
    parameters: {
      all: countElements(shapes.parameters) + countElements(shapes.adapter),
      trained: countElements(shapes.trained),
      dtype: shapes.dtype,
    },
    data: {
      rows: rows.length,
      tooLong,
      textTokens: count(({ ids }) => ids.length) - imageTokens,
      imageTokens,
      learntTokens: count(({ learnt }) => learnt),
      images: count(({ images }) => images.length),
    },
    steps: {
      total: steps.totalSteps,
      perEpoch: steps.stepsPerEpoch,
      rows: rowsOfStep,
      microBatches,
      longest: Math.max(...planned.batches.map(({ length }) => length)),
      checkpointing,
    },
    memory: { ...memory, availableBytes: machine.availableBytes },
    time,
    disk,
    fits: {
      memory: memory.totalBytes <= machine.availableBytes,
      disk: disk.totalBytes <= disk.freeBytes,
    },
  };
}

interface Work {
  batches: readonly BatchShape[];
  steps: number;
  shapes: number;
  total: number;
  microBatches: number;
  checkpointing: Checkpointing;
}

function timeOf({ config, backend, shapes, measured, validation }: PlanInput, work: Work): Plan['time'] {
  const { checkpointing, total } = work;
  const { flops, bytesPerSecond } = measured;
  const trained = countElements(shapes.trained);
  const counter = countWork(shapes);
  const operations = work.batches.reduce((sum, one) => sum + counter.training(one, checkpointing), 0);
  // Adding up reads two and writes one; AdamW reads the gradient twice, reads and writes weight and moments.
  const bytes = trained * 4 * (3 * (work.microBatches - 1) + 8);
  const stepSeconds = operations / work.steps / flops + bytes / bytesPerSecond;
  const compileSeconds = compileTime(backend, checkpointing, work.shapes);
  let validationSeconds = 0;
  if (config.validation !== undefined && validation !== undefined) {
    const { everySteps, maxNewTokens } = config.validation;
    const answered = Math.ceil(validation.rows / validation.prompts.rows);
    const token = tokenSeconds(shapes, validation.prompts.rows, measured);
    const once = answered * (counter.prefill(validation.prompts) / flops + maxNewTokens * token);
    validationSeconds = once * Math.max(1, Math.ceil(total / everySteps));
  }
  const totalSeconds = total * stepSeconds + compileSeconds + validationSeconds;
  return { totalSeconds, stepSeconds, compileSeconds, validationSeconds, measured };
}

/** Seconds in which functions of so many shapes are compiled. */
export const compileTime = (backend: SelectedBackend, checkpointing: Checkpointing, count: number): number =>
  backend.backend === 'tensorflow' && (checkpointing === 'none' || backend.device !== 'CPU')
    ? COMPILE_SECONDS * count
    : 0;

/** Seconds in which one token of each of some responses is generated. */
export const tokenSeconds = (
  shapes: PlannedShapes,
  rows: number,
  { flops, bytesPerSecond }: Measured,
): number =>
  Math.max(
    (2 * countElements(shapes.parameters, /^(model\.layers|lm_head|model\.embed)/) * rows) / flops,
    countBytes(shapes.parameters) / bytesPerSecond,
    shapes.model.text.numLayers * LAYER_CALL_SECONDS,
  );

/* What XLA takes for a step's function of one shape, which is less where it has kept it from a run before: measured. */
const COMPILE_SECONDS = 5;
/* What a layer takes for one token at least, however small it is: measured. */
const LAYER_CALL_SECONDS = 1e-4;

interface DiskInput {
  config: Pick<SftConfig, 'lora' | 'checkpoints' | 'validation'>;
  shapes: PlannedShapes;
  machine: { freeDiskBytes: number };
}

/** What the checkpoints of a training take. */
export function diskOf(
  { config, shapes, machine }: DiskInput,
  totalSteps: number,
  moments: number,
): Plan['disk'] {
  const weights = countBytes(config.lora === undefined ? shapes.parameters : shapes.adapter);
  const { keepLast, everySteps } = config.checkpoints;
  const saved = Math.ceil(totalSteps / everySteps);
  // The best one is kept besides; and while one is written, none has gone yet.
  const best = config.validation === undefined ? 0 : 1;
  const checkpoints = Math.min(saved + best, keepLast + best + 1);
  const checkpointBytes = weights + moments;
  return {
    checkpointBytes,
    checkpoints,
    totalBytes: checkpoints * checkpointBytes,
    freeBytes: machine.freeDiskBytes,
  };
}
