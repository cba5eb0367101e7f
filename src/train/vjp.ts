import * as tf from '@tensorflow/tfjs';
import type { Row } from '../model/positions.ts';
import type { TextBatch } from '../model/inputs.ts';
import {
  deviceInputs,
  encodeImages,
  type EncodedImages,
  type ImageInputs,
  type Qwen25VL,
} from '../model/qwen25vl.ts';
import type { ScoredPlaces } from '../model/score.ts';
import { createTextVjp, type TextVjp } from './textVjp.ts';
import { createVisionVjp, type TracedImages } from './visionVjp.ts';

/** Gradients by the released names of their parameters; the caller frees them. */
export type Gradients = Map<string, tf.Tensor>;

/** What is differentiated. */
export interface VjpRequest {
  /** the images of the rows */
  inputs: ImageInputs;
  /** the sequences of the batch, or the prompts of families */
  rows: readonly Row[];
  batch: TextBatch;
  /** R tokens whose log-probabilities count: by `padPlaces`, so that few shapes are compiled */
  places: ScoredPlaces;
  /** what the coefficients are made of: `coefficients` itself, `[R]`, unless the vjp makes them */
  data: CoefficientData;
  temperature: number;
  /** released names of the parameters to differentiate by; all others cost no gradient memory */
  trainable: ReadonlySet<string>;
}

/** Tensors by name; they stay the caller's. */
export type CoefficientData = Readonly<Record<string, tf.Tensor>>;

/**
 * Makes the coefficients `[R]` of log-probabilities `[R]`, where a loss is no sum of them with given weights: the
 * gradient is that of `sum(coefficients logProbs)`, the coefficients taken as constants. Traced; no gradient goes
 * through it.
 */
export type CoefficientsOf = (logProbs: tf.Tensor, data: CoefficientData) => tf.Tensor;

/** What a backward pass gives; the log-probabilities `[R]` are a by-product. */
export interface VjpResult {
  logProbs: Float32Array;
  gradients: Gradients;
}

/**
 * `blocks` keeps each block's input and computes the block again on the way back, so that one block's intermediate
 * values live at a time; `none` makes the whole decoder one function that computes nothing twice.
 */
export type Checkpointing = 'none' | 'blocks';

/** Differentiates a model: its functions, compiled over its parameters. */
export type Vjp = (request: VjpRequest) => Promise<VjpResult>;

/* Tokens of a vocabulary up to which a whole batch's logits may be in memory at once; block by block they come in chunks. */
const WHOLE_VOCABULARY = 2 ** 15;

const isSmall = ({ functions, config }: Qwen25VL): boolean =>
  functions.fused && config.text.vocabSize <= WHOLE_VOCABULARY;

/**
 * Makes the vector-Jacobian product of a model with respect to its parameters (design: explicit, block by block).
 * @param checkpointing default: none where model and vocabulary are small
 * @param coefficientsOf default: they are given
 */
export function createVjp(
  model: Qwen25VL,
  {
    checkpointing = isSmall(model) ? 'none' : 'blocks',
    coefficientsOf,
  }: { checkpointing?: Checkpointing; coefficientsOf?: CoefficientsOf } = {},
): Vjp {
  const text: TextVjp = createTextVjp(model, checkpointing, coefficientsOf);
  const vision = createVisionVjp(model);
  return async ({ inputs, rows, batch, places, data, temperature, trainable }) => {
    const trainsVision = [...trainable].some((name) => name.startsWith('visual.'));
    const traced: TracedImages | undefined = trainsVision ? vision.forward(inputs) : undefined;
    const images: EncodedImages = traced ?? encodeImages(model, inputs);
    try {
      const device = {
        ...deviceInputs(model, rows, batch, images),
        rows: tf.tensor1d(places.rows, 'int32'),
        targets: tf.tensor1d(places.targets, 'int32'),
        data,
      };
      const tables = model.text.tables(Math.max(...batch.next));
      const result = text({ ...device, tables, temperature, trainable, trainsVision });
      tf.dispose([device.ids, device.positions, device.rows, device.targets]);
      device.images?.source.dispose();
      device.shared?.lengths.dispose();
      const gradients: Gradients = result.gradients;
      if (traced !== undefined && result.dFeatures !== undefined) {
        for (const [name, gradient] of vision.backward(traced, result.dFeatures, trainable)) {
          gradients.set(name, gradient);
        }
      }
      const logProbs = await result.logProbs.data<'float32'>();
      result.logProbs.dispose();
      return { logProbs, gradients };
    } finally {
      images[Symbol.dispose]();
    }
  };
}
