import * as tf from '@tensorflow/tfjs';
import type { ModelConfig } from '../config/model.ts';
import type { VariableDType } from '../runtime/storage.ts';
import type { Compute } from '../runtime/tensorflow/multiply.ts';
import type { Variable } from '../runtime/variable.ts';
import { createDecoder, type Decoder } from './decode.ts';
import { type CompiledFunctions, createFunctions } from './functions.ts';
import type { Prefilled } from './generationBatch.ts';
import { layOutText, type ModelInputs, rowsOf, type TextBatch } from './inputs.ts';
import type { GridThw, Row } from './positions.ts';
import { createTextModel, type ImageFeatures, type TextInputs, type TextModel } from './textModel.ts';
import { layOutImages, type VisionGroup } from './visionLayout.ts';
import { createVisionModel, type GroupInputs, type VisionModel } from './visionModel.ts';

/** A Qwen2.5-VL: its parameters, and its parts as compiled functions over them. */
export interface Qwen25VL extends Disposable {
  config: ModelConfig;
  /** by their released names; an adapter's beside them */
  parameters: ReadonlyMap<string, Variable>;
  /** of the KV cache */
  cacheDType: VariableDType;
  text: TextModel;
  decoder: Decoder;
  vision: VisionModel;
  functions: CompiledFunctions;
}

/** Up to so many parameters, a whole pass is one function; beyond, a function a layer keeps memory and tracing small. */
const FUSED_PARAMETERS = 1e8;

/**
 * Makes a model over parameters, which stay the caller's.
 *
 * @param compute bfloat16 rounds what is multiplied, where that is faster
 * @param loraScaling alpha / r of an adapter among the parameters
 */
export function createQwen25VL(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Variable>,
  { compute, loraScaling = 1 }: { compute: Compute; loraScaling?: number },
): Qwen25VL {
  const count = [...parameters.values()].reduce(
    (sum, { shape }) => sum + tf.util.sizeFromShape([...shape]),
    0,
  );
  const functions = createFunctions(count <= FUSED_PARAMETERS);
  const text = createTextModel(config, parameters, functions, { compute, loraScaling });
  return {
    config,
    parameters,
    cacheDType: compute === 'bfloat16' ? 'bfloat16' : 'float32',
    functions,
    text,
    decoder: createDecoder(text, functions),
    vision: createVisionModel(config, parameters, functions, compute, loraScaling),
    [Symbol.dispose]: () => {
      functions.dispose();
      text[Symbol.dispose]();
    },
  };
}

/** The images of some inputs. */
export type ImageInputs = Pick<ModelInputs, 'pixelValues' | 'imageGridThw'>;

/** Images of some rows as the decoder takes them. */
export interface ImagesOfRows {
  /** `[F, H]`; none without images */
  features: tf.Tensor | undefined;
  /** for each image, the rows of `features` that its tokens take */
  rows: readonly Int32Array[];
}

/** Images with their one owner. */
export type EncodedImages = ImagesOfRows & Disposable;

/** Encodes the images of some inputs. */
export function encodeImages(model: Qwen25VL, { pixelValues, imageGridThw }: ImageInputs): EncodedImages {
  const grids = imageGridThw as unknown as GridThw[];
  const { groups, featureRows } = layOutImages(grids, model.config.vision);
  const features =
    pixelValues === null || groups.length === 0
      ? undefined
      : tf.tidy(() => {
          const pixels = pixelTensor(model, pixelValues);
          const parts = groups.map((group) => {
            const { windows, windowPatches } = group;
            return model.vision.encode(pixels, groupInputs(group), { windows, windowPatches });
          });
          return parts.length === 1 ? (parts[0] as tf.Tensor) : tf.concat(parts);
        });
  return {
    features,
    rows: featureRows,
    [Symbol.dispose]: () => {
      features?.dispose();
    },
  };
}

/**
 * Makes what gives the images of some rows of a batch.
 * @param images of all of the batch
 */
export function imagesOf(
  { features, rows }: ImagesOfRows,
  batch: readonly Row[],
): (members: readonly number[]) => ImagesOfRows {
  let next = 0;
  const byRow = batch.map(({ grids }) => rows.slice(next, (next += grids.length)));
  return (members) => {
    const own = members.flatMap((i) => byRow[i] as Int32Array[]);
    return { features: own.length === 0 ? undefined : features, rows: own };
  };
}

/** Pixel values on the device, `[patches, 1176]`. */
export function pixelTensor({ vision }: Qwen25VL, pixelValues: Float32Array): tf.Tensor {
  const width = tf.util.sizeFromShape(vision.patchEmbed.shape.slice(1));
  return tf.tensor2d(pixelValues, [pixelValues.length / width, width]);
}

/** A group of the layout, on the device. */
export function groupInputs({ patchRows, cos, sin, keyBias }: VisionGroup): GroupInputs {
  const rows = patchRows.length;
  return {
    patchRows: tf.tensor1d(patchRows, 'int32'),
    cos: tf.tensor2d(cos, [rows, cos.length / rows]),
    sin: tf.tensor2d(sin, [rows, sin.length / rows]),
    ...(keyBias && { keyBias: tf.tensor1d(keyBias) }),
  };
}

/**
 * A batch on the device.
 * @param rows what stands in it: sequences, or the prompts that responses share
 */
export function deviceInputs(
  model: Qwen25VL,
  rows: readonly Row[],
  batch: TextBatch,
  images: ImagesOfRows,
): TextInputs {
  const { ids, positions, rows: count, length, shared } = batch;
  return {
    ids: tf.tensor2d(ids, [count, length], 'int32'),
    positions: tf.tensor3d(positions, [3, count, length], 'int32'),
    ...(images.features && { images: imageFeatures(model, rows, batch, images, images.features) }),
    ...(shared && { shared: { shape: shared, lengths: tf.tensor1d([...batch.lengths], 'int32') } }),
  };
}

function imageFeatures(
  { config }: Qwen25VL,
  rows: readonly Row[],
  { ids, starts }: TextBatch,
  images: ImagesOfRows,
  features: tf.Tensor,
): ImageFeatures {
  const places = ids.length;
  const source = Int32Array.from({ length: places }, (_, i) => i);
  let next = 0;
  rows.forEach(({ ids: row, grids }, b) => {
    const taken = grids.flatMap(() => [...(images.rows[next++] as Int32Array)]);
    const start = starts[b] as number;
    let used = 0;
    row.forEach((id, at) => {
      if (id === config.imageTokenId) source[start + at] = places + (taken[used++] as number);
    });
  });
  return { features, source: tf.tensor1d(source, 'int32') };
}

/** Runs prompts through the decoder: the logits of each one's last token, and all keys and values. */
export function prefill(model: Qwen25VL, inputs: ModelInputs): { batch: TextBatch; prefilled: Prefilled } {
  const rows = rowsOf(inputs, model.config);
  const batch = layOutText(rows, model.config);
  using images = encodeImages(model, inputs);
  const prefilled = tf.tidy(() => {
    const last = rows.map(({ ids }, b) => b * batch.length + ids.length - 1);
    return model.text.prefill(
      deviceInputs(model, rows, batch, images),
      model.text.tables(Math.max(...batch.next)),
      tf.tensor1d(last, 'int32'),
    );
  });
  return { batch, prefilled };
}

/**
 * Logits of every token, `[B, L, V]` with zeros at padding: for small inputs. Rows are computed one by one, so that no
 * row's logits follow from another's.
 */
export async function logits(
  model: Qwen25VL,
  inputs: ModelInputs,
): Promise<{ data: Float32Array; shape: [number, number, number] }> {
  const rows = rowsOf(inputs, model.config);
  using images = encodeImages(model, inputs);
  const ofRows = imagesOf(images, rows);
  const vocabulary = model.config.text.vocabSize;
  const width = inputs.inputIds[0]?.length ?? 0;
  const data = new Float32Array(rows.length * width * vocabulary);
  for (const [b, row] of rows.entries()) {
    const batch = layOutText([row], model.config);
    const values = tf.tidy(() => {
      const tables = model.text.tables(Math.max(...batch.next));
      const hidden = model.text.hidden(deviceInputs(model, [row], batch, ofRows([b])), tables);
      const places = tf.range(0, row.ids.length, 1, 'int32');
      return model.text.logits(model.text.select(hidden, places));
    });
    const first = (inputs.attentionMask[b] as number[]).indexOf(1);
    data.set(await values.data<'float32'>(), (b * width + first) * vocabulary);
    values.dispose();
  }
  return { data, shape: [rows.length, width, vocabulary] };
}
