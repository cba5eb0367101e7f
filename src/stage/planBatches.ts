import type { ModelConfig } from '../config/model.ts';
import type { SftConfig } from '../config/sft.ts';
import type { SupervisedRow } from '../data/supervised.ts';
import { roundLength } from '../model/inputs.ts';
import { microBatches, rowsOfStep, type StepPlan } from '../train/steps.ts';

/** A batch as it is computed: sizes only. */
export interface BatchShape {
  rows: number;
  /** of each row, with padding */
  length: number;
  /** of tokens that are predicted; 0 where none is */
  places: number;
  images: number;
  patches: number;
}

/** Steps as they will be taken. */
export interface PlannedSteps {
  /** all micro-batches of the first steps */
  batches: BatchShape[];
  /** of how many steps they are */
  steps: number;
  /** how often a function is compiled anew in all steps, at most */
  shapes: number;
}

/* The order of an epoch's rows is drawn anew for each step that is asked for: all steps of a long training take long. */
const LOOKED_AT = 64;
/* Functions of more shapes are dropped and compiled again (runtime/compile.ts); a plan need not count further. */
const MOST_SHAPES = 64;

/** The micro-batches of a training's first steps, in the order in which it takes its rows. */
export function planBatches(
  rows: readonly SupervisedRow[],
  plan: StepPlan,
  { batch, seed }: Pick<SftConfig, 'batch' | 'seed'>,
  model: ModelConfig,
): PlannedSteps {
  const steps = Math.min(plan.totalSteps, LOOKED_AT);
  const batches = Array.from({ length: steps }, (_, step) => {
    const some = rowsOfStep(step, plan, seed).map((row) => rows[row] as SupervisedRow);
    return microBatches(some, batch).map((one) => shapeOf(one, model));
  }).flat();
  const keys = batches.map((shape) => [shape.rows, shape.length, placesBucket(shape), shape.patches].join());
  return { batches, steps, shapes: Math.min(new Set(keys).size, MOST_SHAPES) };
}

/* Predicted places come in so many sizes (model/score.ts). */
const placesBucket = ({ rows, length, places }: BatchShape): number =>
  Math.ceil((8 * places) / (rows * length));

/** The shape of a batch of rows. */
export function shapeOf(
  rows: readonly Pick<SupervisedRow, 'ids' | 'learnt' | 'images'>[],
  { imageTokenId, vision }: ModelConfig,
): BatchShape {
  const imageTokens = rows.reduce((sum, { ids }) => sum + countOf(ids, imageTokenId), 0);
  return {
    rows: rows.length,
    length: roundLength(Math.max(...rows.map(({ ids }) => ids.length))),
    places: rows.reduce((sum, { learnt }) => sum + learnt, 0),
    images: rows.reduce((sum, { images }) => sum + images.length, 0),
    patches: imageTokens * vision.spatialMergeSize ** 2,
  };
}

/** How often a token occurs. */
export const countOf = (ids: readonly number[], token: number): number =>
  ids.reduce((count, id) => count + Number(id === token), 0);
