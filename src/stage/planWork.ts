import type { ModelConfig } from '../config/model.ts';
import type { Checkpointing } from '../train/vjp.ts';
import type { BatchShape } from './planBatches.ts';
import { countElements, type PlannedShapes } from './planShapes.ts';

/* Causal attention takes queries in four chunks, each with the keys up to its end. */
const CAUSAL_SHARE = 5 / 8;

/** Operations of one decoder layer over a batch, forward. */
function layerForward({ text }: ModelConfig, weights: number, { rows, length }: BatchShape): number {
  const attention = 4 * text.numHeads * text.headDim * length * CAUSAL_SHARE;
  return rows * length * (2 * weights + attention);
}

/** Operations of the vision tower over a batch, forward. */
function visionForward({ model, parameters }: PlannedShapes, { patches, images }: BatchShape): number {
  if (patches === 0) return 0;
  const { vision } = model;
  const merged = vision.spatialMergeSize ** 2;
  const full = vision.fullAttentionBlocks.length;
  const windowPatches = (vision.windowSize / vision.patchSize) ** 2;
  const span = full * (patches / images) + (vision.depth - full) * windowPatches;
  const weights =
    countElements(parameters, /^visual\.(blocks|patch_embed)/) + countElements(parameters, /merger/) / merged;
  return patches * (2 * weights + 4 * vision.hiddenSize * span);
}

/** Elements of a decoder layer's weights. */
export const layerElements = ({ parameters }: PlannedShapes, i = 0): number =>
  countElements(parameters, new RegExp(`^model\\.layers\\.${i}\\.`));

/** The lowest layer through which gradients flow; as many as there are layers if none is trained. */
export function lowestTrained({ model, trained }: PlannedShapes): number {
  const names = [...trained.keys()];
  if (names.some((name) => name.startsWith('visual.') || name.startsWith('model.embed_tokens'))) return 0;
  const layers = names.flatMap((name) => /^model\.layers\.(\d+)\./.exec(name)?.[1] ?? []).map(Number);
  return Math.min(model.text.numLayers, ...layers);
}

/**
 * Operations of forward and backward pass of a decoder layer: the gradient with respect to the input takes as many as
 * the forward pass, that with respect to the weights again as many; `blocks` goes forward once more.
 */
export function layerTraining(
  model: ModelConfig,
  weights: number,
  shape: BatchShape,
  { checkpointing, trainsWeights }: { checkpointing: Checkpointing; trainsWeights: boolean },
): number {
  const forward = layerForward(model, weights, shape);
  const again = checkpointing === 'blocks' ? 1 : 0;
  const byWeights = trainsWeights ? 2 * weights * shape.rows * shape.length : 0;
  return (2 + again) * forward + byWeights;
}

/** Operations of forward and backward pass of a micro-batch. */
export function trainingWork(shapes: PlannedShapes, shape: BatchShape, checkpointing: Checkpointing): number {
  const { model, parameters, trained } = shapes;
  const stop = lowestTrained(shapes);
  const { numLayers, vocabSize, hiddenSize } = model.text;
  let work = 0;
  for (let i = 0; i < numLayers; i++) {
    const weights = layerElements(shapes, i);
    const learnt = countElements(trained, new RegExp(`^model\\.layers\\.${i}\\.`));
    const trainsWeights = learnt > weights / 2;
    work +=
      i < stop
        ? layerForward(model, weights, shape)
        : layerTraining(model, weights, shape, { checkpointing, trainsWeights });
  }
  const head = parameters.has('lm_head.weight') ? 'lm_head.weight' : 'model.embed_tokens.weight';
  work += (trained.has(head) ? 6 : 4) * shape.places * vocabSize * hiddenSize;
  // The vision tower's blocks are always computed again.
  const trainsVision = [...trained.keys()].some((name) => name.startsWith('visual.'));
  return work + (trainsVision ? 4 : 1) * visionForward(shapes, shape);
}

/** Operations of a forward pass of prompts. */
export function prefillWork(shapes: PlannedShapes, shape: BatchShape): number {
  const layers = Array.from({ length: shapes.model.text.numLayers }, (_, i) =>
    layerForward(shapes.model, layerElements(shapes, i), shape),
  );
  return layers.reduce((sum, one) => sum + one, 0) + visionForward(shapes, shape);
}
