import type * as tf from '@tensorflow/tfjs';
import type { ModelConfig } from '../config/model.ts';
import type { Compute } from '../runtime/tensorflow/multiply.ts';
import type { Variable } from '../runtime/variable.ts';
import { type CompiledFunctions, type FlatParameters, flatPart, withAdapters } from './functions.ts';
import type { Weight } from './project.ts';
import {
  embedPatches,
  mergePatches,
  type MergerParameters,
  visionBlock,
  type VisionAttention,
  type VisionBlockParameters,
  type VisionContext,
} from './vision.ts';
import type { VisionGroup } from './visionLayout.ts';

/** A group of the layout on the device. */
export interface GroupInputs {
  /** int32 `[R]` */
  patchRows: tf.Tensor;
  cos: tf.Tensor;
  sin: tf.Tensor;
  keyBias?: tf.Tensor;
}

/** The vision tower, as compiled functions over its parameters. */
export type VisionModel = ReturnType<typeof createVisionModel>;

/** Makes the vision tower's functions. */
export function createVisionModel(
  { vision }: ModelConfig,
  parameters: ReadonlyMap<string, Variable>,
  { compiled, whole }: CompiledFunctions,
  compute: Compute,
  loraScaling: number,
) {
  const context: VisionContext = { config: vision, compute };
  const patchEmbed = parameters.get('visual.patch_embed.proj.weight') as Variable;
  const blocks = Array.from({ length: vision.depth }, (_, i) => flatPart(parameters, `visual.blocks.${i}.`));
  const merger = flatPart(parameters, 'visual.merger.');
  const blockTree = (flat: FlatParameters<Weight>): VisionBlockParameters =>
    withAdapters(flat, loraScaling) as VisionBlockParameters;
  const mergerTree = (flat: FlatParameters<Weight>): MergerParameters =>
    withAdapters(flat, loraScaling) as MergerParameters;

  const embed = compiled('embedPatches', embedPatches);
  const block = compiled('visionBlock', (flat: FlatParameters, x_RH: tf.Tensor, at: VisionAttention) =>
    visionBlock(blockTree(flat), x_RH, at, context),
  );
  const merge = compiled('mergePatches', (flat: FlatParameters, x_RH: tf.Tensor) =>
    mergePatches(mergerTree(flat), x_RH, context),
  );
  /* Patches that attend to one another in a block: those of a window, or of an image. */
  const spanOf = (
    i: number,
    { windows, windowPatches }: Pick<VisionGroup, 'windows' | 'windowPatches'>,
  ): number => (vision.fullAttentionBlocks.includes(i) ? windows * windowPatches : windowPatches);

  /* Features [R / 4, out] of a group's images; rows of padding are left in. */
  const encode = whole(
    'encodeImages',
    (
      pixels: tf.Tensor,
      { patchRows, ...tables }: GroupInputs,
      size: Pick<VisionGroup, 'windows' | 'windowPatches'>,
    ): tf.Tensor => {
      let x_RH = embed(patchEmbed, pixels, patchRows);
      blocks.forEach((flat, i) => {
        const y_RH = block(flat, x_RH, { ...tables, span: spanOf(i, size) });
        x_RH.dispose();
        x_RH = y_RH;
      });
      const features = merge(merger, x_RH);
      x_RH.dispose();
      return features;
    },
  );
  return { patchEmbed, blocks, merger, context, blockTree, mergerTree, embed, block, merge, spanOf, encode };
}
