import type { ModelConfig } from '../config/model.ts';
import { EMBEDDING, HEAD } from '../model/names.ts';
import type { Checkpointing } from '../train/vjp.ts';
import type { BatchShape } from './planBatches.ts';
import { countElements, type PlannedShapes } from './planShapes.ts';

/* Causal attention takes queries in four chunks, each with the keys up to its end. */
const CAUSAL_SHARE = 5 / 8;

/* Operations of one decoder layer over a batch, forward. */
function layerForward({ text }: ModelConfig, weights: number, { rows, length }: BatchShape): number {
  const attention = 4 * text.numHeads * text.headDim * length * CAUSAL_SHARE;
  return rows * length * (2 * weights + attention);
}

/* Operations of the vision tower over a batch, forward. */
function countVision({ model: { vision }, parameters }: PlannedShapes): (shape: BatchShape) => number {
  const full = vision.fullAttentionBlocks.length;
  const windowPatches = (vision.windowSize / vision.patchSize) ** 2;
  const weights =
    countElements(parameters, /^visual\.(blocks|patch_embed)/) +
    countElements(parameters, /^visual\.merger/) / vision.spatialMergeSize ** 2;
  return ({ patches, images }) => {
    if (patches === 0) return 0;
    const span = full * (patches / images) + (vision.depth - full) * windowPatches;
    return patches * (2 * weights + 4 * vision.hiddenSize * span);
  };
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

/** What operations depend on, counted once. */
export interface WorkCounter {
  /** of forward and backward pass of a micro-batch */
  training(shape: BatchShape, checkpointing: Checkpointing): number;
  /** of a forward pass of prompts */
  prefill(shape: BatchShape): number;
}

/** Makes what counts the operations of a model's passes. */
export function countWork(shapes: PlannedShapes): WorkCounter {
  const { model, parameters, trained } = shapes;
  const { numLayers, vocabSize, hiddenSize } = model.text;
  const stop = lowestTrained(shapes);
  const layers = Array.from({ length: numLayers }, (_, i) => {
    const weights = layerElements(shapes, i);
    const learnt = countElements(trained, new RegExp(`^model\\.layers\\.${i}\\.`));
    return { weights, isPassed: i < stop, trainsWeights: learnt > weights / 2 };
  });
  const head = parameters.has(HEAD) ? HEAD : EMBEDDING;
  const ofPlace = (trained.has(head) ? 6 : 4) * vocabSize * hiddenSize;
  const vision = countVision(shapes);
  // The vision tower's blocks are always computed again.
  const visionPasses = [...trained.keys()].some((name) => name.startsWith('visual.')) ? 4 : 1;
  return {
    training: (shape, checkpointing) =>
      layers.reduce(
        (sum, { weights, isPassed, trainsWeights }) =>
          sum +
          (isPassed
            ? layerForward(model, weights, shape)
            : layerTraining(model, weights, shape, { checkpointing, trainsWeights })),
        shape.places * ofPlace + visionPasses * vision(shape),
      ),
    prefill: (shape) =>
      layers.reduce((sum, { weights }) => sum + layerForward(model, weights, shape), vision(shape)),
  };
}
