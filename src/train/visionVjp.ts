import * as tf from '@tensorflow/tfjs';
import type { FlatParameters } from '../model/functions.ts';
import type { GridThw } from '../model/positions.ts';
import type { Weight } from '../model/project.ts';
import {
  type EncodedImages,
  groupInputs,
  type ImageInputs,
  pixelTensor,
  type Qwen25VL,
} from '../model/qwen25vl.ts';
import { embedPatches, mergePatches, type VisionAttention, visionBlock } from '../model/vision.ts';
import { layOutImages, type VisionGroup } from '../model/visionLayout.ts';
import type { GroupInputs } from '../model/visionModel.ts';
import type { Variable } from '../runtime/variable.ts';
import type { Gradients } from './vjp.ts';

/** Encoded images, with what the backward pass needs. */
export interface TracedImages extends EncodedImages {
  pixels: tf.Tensor;
  groups: readonly TracedGroup[];
}

interface TracedGroup {
  group: VisionGroup;
  inputs: GroupInputs;
  /** the input of each block, and the last one's output */
  kept: readonly tf.Tensor[];
}

const PATCH_EMBED = 'visual.patch_embed.proj.weight';

/** Makes the vision tower's forward pass that keeps each block's input, and its backward pass. */
export function createVisionVjp(model: Qwen25VL) {
  const { vision, functions, config } = model;

  /* Gradients of a part by its input and by some of its parameters. */
  const vjpOf =
    <A extends unknown[]>(part: (weights: FlatParameters<Weight>, x: tf.Tensor, ...args: A) => tf.Tensor) =>
    (flat: FlatParameters, names: readonly string[], x_RH: tf.Tensor, dy: tf.Tensor, ...args: A) => {
      const leaves = names.map((name) => (flat[name] as Variable).read());
      const forward = (...inputs: tf.Tensor[]): tf.Tensor => {
        const [x, ...weights] = inputs as [tf.Tensor, ...tf.Tensor[]];
        const leafOf = Object.fromEntries(names.map((name, i) => [name, weights[i] as tf.Tensor]));
        return part({ ...flat, ...leafOf }, x, ...args);
      };
      const [dx, ...grads] = tf.grads(forward)([x_RH, ...leaves], dy) as [tf.Tensor, ...tf.Tensor[]];
      return { dx, grads };
    };
  const blockVjp = functions.compiled(
    'visionBlockVjp',
    vjpOf((weights, x, at: VisionAttention) => visionBlock(vision.blockTree(weights), x, at, vision.context)),
  );
  const mergerVjp = functions.compiled(
    'mergerVjp',
    vjpOf((weights, x) => mergePatches(vision.mergerTree(weights), x, vision.context)),
  );
  const patchEmbedVjp = functions.compiled(
    'patchEmbedVjp',
    (pixels: tf.Tensor, rows: tf.Tensor, dy: tf.Tensor) =>
      tf.grad((weight) => embedPatches(weight, pixels, rows))(vision.patchEmbed.read(), dy),
  );

  const forward = ({ pixelValues, imageGridThw }: ImageInputs): TracedImages => {
    const { groups, featureRows } = layOutImages(imageGridThw as unknown as GridThw[], config.vision);
    const pixels = pixelTensor(model, pixelValues ?? new Float32Array(0));
    const parts: tf.Tensor[] = [];
    const traced = groups.map((group): TracedGroup => {
      const inputs = groupInputs(group);
      const { patchRows, ...tables } = inputs;
      const kept = [vision.embed(vision.patchEmbed, pixels, patchRows)];
      vision.blocks.forEach((flat, i) => {
        kept.push(vision.block(flat, kept[i] as tf.Tensor, { ...tables, span: vision.spanOf(i, group) }));
      });
      parts.push(vision.merge(vision.merger, kept.at(-1) as tf.Tensor));
      return { group, inputs, kept };
    });
    const features = parts.length === 0 ? undefined : tf.concat(parts);
    tf.dispose(parts);
    return {
      features,
      rows: featureRows,
      pixels,
      groups: traced,
      [Symbol.dispose]: () => {
        tf.dispose([pixels, ...(features === undefined ? [] : [features])]);
        for (const { inputs, kept } of traced) {
          tf.dispose(Object.values<tf.Tensor>({ ...inputs }));
          tf.dispose([...kept]);
        }
      },
    };
  };

  const backward = (
    { pixels, groups }: TracedImages,
    dFeatures_FH: tf.Tensor,
    trainable: ReadonlySet<string>,
  ): Gradients => {
    const gradients: Gradients = new Map();
    const addAll = (prefix: string, names: readonly string[], grads: readonly tf.Tensor[]): void => {
      names.forEach((name, i) => {
        const before = gradients.get(prefix + name);
        const gradient = grads[i] as tf.Tensor;
        gradients.set(prefix + name, before === undefined ? gradient : before.add(gradient));
        if (before !== undefined) tf.dispose([before, gradient]);
      });
    };
    const trainedOf = (prefix: string, flat: FlatParameters): string[] =>
      Object.keys(flat).filter((name) => trainable.has(prefix + name));
    let from = 0;
    for (const { group, inputs, kept } of groups) {
      const { patchRows, ...tables } = inputs;
      const count = patchRows.size / config.vision.spatialMergeSize ** 2;
      const dy = dFeatures_FH.slice([from, 0], [count, -1]);
      from += count;
      const names = trainedOf('visual.merger.', vision.merger);
      const merged = mergerVjp(vision.merger, names, kept.at(-1) as tf.Tensor, dy);
      dy.dispose();
      addAll('visual.merger.', names, merged.grads);
      let dx = merged.dx;
      for (let i = vision.blocks.length - 1; i >= 0; i--) {
        const flat = vision.blocks[i] as FlatParameters;
        const trained = trainedOf(`visual.blocks.${i}.`, flat);
        const at = { ...tables, span: vision.spanOf(i, group) };
        const block = blockVjp(flat, trained, kept[i] as tf.Tensor, dx, at);
        dx.dispose();
        dx = block.dx;
        addAll(`visual.blocks.${i}.`, trained, block.grads);
      }
      if (trainable.has(PATCH_EMBED)) addAll('', [PATCH_EMBED], [patchEmbedVjp(pixels, patchRows, dx)]);
      dx.dispose();
    }
    dFeatures_FH.dispose();
    return gradients;
  };
  return { forward, backward };
}
