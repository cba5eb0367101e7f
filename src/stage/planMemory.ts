import type { SftConfig } from '../config/sft.ts';
import type { Checkpointing } from '../train/vjp.ts';
import type { BatchShape } from './planBatches.ts';
import { countBytes, countElements, type PlannedShapes } from './planShapes.ts';
import { layerElements, lowestTrained } from './planWork.ts';

/** Bytes of each part; not all of them are there at once. */
export interface MemoryParts {
  /** the process before it has a model */
  program: number;
  weights: number;
  /** of the frozen policy that TAPO's KL_ref compares with */
  reference: number;
  /** of AdamW, with what compensates its rounding */
  moments: number;
  /** of one micro-batch */
  gradients: number;
  /** the sum of the micro-batches' gradients */
  accumulator: number;
  activations: number;
  /** code that is compiled, and the weights as it reads them */
  compiled: number;
  images: number;
  /** of responses that are generated side by side */
  kvCache: number;
}

/** What memory a training takes. */
export interface MemoryPlan {
  parts: MemoryParts;
  /** the most at once */
  totalBytes: number;
  /** when that is */
  peak: 'backward pass' | 'adding up gradients' | 'generation of responses';
}

/** What the memory depends on, besides the shapes. */
export interface MemoryInput {
  config: Pick<SftConfig, 'optimiser'>;
  checkpointing: Checkpointing;
  /** whether all gradients are added up by one function (a small model) */
  fused: boolean;
  programBytes: number;
  microBatches: readonly BatchShape[];
  /** micro-batches of a step */
  perStep: number;
  /** how often a function is compiled anew */
  shapesCompiled: number;
  /** responses that are generated side by side: of a validation, or rollouts */
  generation: { prompts: BatchShape; maxNewTokens: number } | undefined;
  /** whether a second copy of the weights is kept */
  hasReference?: boolean;
}

const FLOAT = 4;
const MIB = 2 ** 20;
/* What XLA takes for the code of a layer, forward and backward, with what compiling it leaves: measured. */
const CODE_OF_LAYER = 7 * MIB;
/* The limits of ops/causalAttention.ts, ops/attention.ts, model/textModel.ts and model/visionLayout.ts. */
const KEPT_LENGTH = 1024;
const CHUNK = 256;
const SCORES_AT_ONCE = 2 ** 25;
const LOGITS_AT_ONCE = 2 ** 25;
const PATCHES_AT_ONCE = 2 ** 14;
/* Tensors of scores, and of logits, that exist side by side. */
const SCORES_SIDE_BY_SIDE = 3;
const LOGITS_SIDE_BY_SIDE = 5;
/* The batch under way on the host and on the device, and the next one. */
const PIXELS_SIDE_BY_SIDE = 3;

/** Adds up the memory of a training, part by part. */
export function planMemory(shapes: PlannedShapes, input: MemoryInput): MemoryPlan {
  const { config, checkpointing, fused, programBytes, microBatches, perStep, generation } = input;
  const { trained, parameters, adapter } = shapes;
  const learnt = countElements(trained);
  const gradients = FLOAT * learnt;
  const { kahan, momentsDtype } = config.optimiser;
  const moments = (kahan ? 6 : momentsDtype === 'bfloat16' ? 4 : 8) * learnt;
  const activations = Math.max(...microBatches.map((shape) => activationsOf(shapes, shape, checkpointing)));
  const images = Math.max(...microBatches.map((shape) => imagesOf(shapes, shape)));
  const accumulator = perStep > 1 ? gradients : 0;
  const parts: MemoryParts = {
    program: programBytes,
    weights: countBytes(parameters) + countBytes(adapter),
    reference: input.hasReference === true ? countBytes(parameters) : 0,
    moments,
    gradients,
    accumulator,
    activations,
    compiled:
      checkpointing === 'none'
        ? CODE_OF_LAYER * shapes.model.text.numLayers * input.shapesCompiled + gradients
        : 0,
    images,
    kvCache: generation === undefined ? 0 : kvCacheOf(shapes, generation),
  };
  const always = parts.program + parts.weights + parts.reference + moments + parts.compiled;
  const largest = FLOAT * Math.max(...[...trained.values()].map(({ elements }) => elements));
  const atOnce: [MemoryPlan['peak'], number][] = [
    ['backward pass', always + gradients + accumulator + activations + images],
    ['adding up gradients', always + gradients + accumulator + (fused ? accumulator : largest)],
    [
      'generation of responses',
      always +
        parts.kvCache +
        (generation === undefined
          ? 0
          : passing(shapes, generation.prompts) + imagesOf(shapes, generation.prompts)),
    ],
  ];
  const [peak, totalBytes] = atOnce.reduce((most, one) => (one[1] > most[1] ? one : most));
  return { parts, totalBytes, peak };
}

/* Of the forward and backward pass: what is kept, and what one layer takes for a moment. */
function activationsOf(shapes: PlannedShapes, shape: BatchShape, checkpointing: Checkpointing): number {
  const { text } = shapes.model;
  const tokens = shape.rows * shape.length;
  const layers = text.numLayers - lowestTrained(shapes);
  const kept = keptOfLayer(shapes, shape);
  const { hiddenSize: hidden, vocabSize, intermediateSize } = text;
  const backward =
    tokens * (4 * hidden + 3 * intermediateSize) + SCORES_SIDE_BY_SIDE * scoresOf(shapes, shape);
  const logits =
    LOGITS_SIDE_BY_SIDE *
    (checkpointing === 'none'
      ? shape.places * vocabSize
      : Math.min(shape.places * vocabSize, LOGITS_AT_ONCE));
  const elements =
    checkpointing === 'none'
      ? layers * kept + Math.max(backward, logits, ofHead(shapes))
      : layers * tokens * hidden + Math.max(kept + backward + layerElements(shapes), logits, ofHead(shapes));
  const inText = FLOAT * elements;
  return Math.max(visionOf(shapes, shape), inText) + keptOfVision(shapes, shape);
}

/* What the gradient of a decoder layer needs: inputs of its products, gate and up, and the weights of the attention. */
function keptOfLayer({ model: { text } }: PlannedShapes, { rows, length }: BatchShape): number {
  const [queries, keys] = [text.numHeads * text.headDim, text.numKeyValueHeads * text.headDim];
  const attention = length <= KEPT_LENGTH ? (text.numHeads * length * 5) / 8 : 0;
  return (
    rows * length * (4 * text.hiddenSize + 3 * queries + 2 * keys + 3 * text.intermediateSize + attention)
  );
}

/* Of one chunk of queries. */
const scoresOf = ({ model: { text } }: PlannedShapes, { rows, length }: BatchShape): number =>
  rows * text.numHeads * length * Math.min(Math.ceil(length / 4), CHUNK);

/* The embedding's gradient, that of the head that it is tied to, and their sum. */
function ofHead({ trained, parameters }: PlannedShapes): number {
  const embedding = trained.get('model.embed_tokens.weight')?.elements ?? 0;
  return parameters.has('lm_head.weight') ? embedding : 2 * embedding;
}

/* Of a forward pass that keeps nothing. */
function passing(shapes: PlannedShapes, shape: BatchShape): number {
  const { intermediateSize, hiddenSize } = shapes.model.text;
  const tokens = shape.rows * shape.length;
  const layer =
    tokens * (4 * hiddenSize + 3 * intermediateSize) + SCORES_SIDE_BY_SIDE * scoresOf(shapes, shape);
  return Math.max(FLOAT * layer, visionOf(shapes, shape));
}

/* Of a block of the vision tower. */
function visionOf({ model: { vision } }: PlannedShapes, { patches, images }: BatchShape): number {
  if (patches === 0) return 0;
  const atOnce = Math.min(patches, Math.max(PATCHES_AT_ONCE, patches / images));
  const scores = Math.min(SCORES_AT_ONCE, vision.numHeads * atOnce * (patches / images));
  const others = atOnce * (8 * vision.hiddenSize + 3 * vision.intermediateSize);
  return FLOAT * (others + SCORES_SIDE_BY_SIDE * scores);
}

/* The inputs of the vision tower's blocks, and the scores of one of them, where it is trained. */
function keptOfVision(
  { model: { vision }, trained }: PlannedShapes,
  { patches, images }: BatchShape,
): number {
  if (patches === 0 || ![...trained.keys()].some((name) => name.startsWith('visual.'))) return 0;
  return FLOAT * patches * (vision.depth * vision.hiddenSize + vision.numHeads * (patches / images));
}

/* Pixels, and the features that are made of them. */
function imagesOf({ model: { vision, text } }: PlannedShapes, { patches }: BatchShape): number {
  const width = vision.inChannels * vision.temporalPatchSize * vision.patchSize ** 2;
  return FLOAT * patches * (PIXELS_SIDE_BY_SIDE * width + text.hiddenSize / vision.spatialMergeSize ** 2);
}

function kvCacheOf(
  { model: { text }, dtype }: PlannedShapes,
  { prompts, maxNewTokens }: NonNullable<MemoryInput['generation']>,
): number {
  const slots = prompts.length + maxNewTokens;
  const width = 2 * text.numLayers * text.numKeyValueHeads * text.headDim;
  return prompts.rows * slots * width * (dtype === 'bfloat16' ? 2 : FLOAT);
}
