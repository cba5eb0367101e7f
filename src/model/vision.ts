import * as tf from '@tensorflow/tfjs';
import type { VisionConfig } from '../config/model.ts';
import { attention } from '../ops/attention.ts';
import { rmsNorm } from '../ops/rmsNorm.ts';
import { rotate } from '../ops/rotary.ts';
import { swiglu } from '../ops/swiglu.ts';
import type { Compute } from '../runtime/tensorflow/multiply.ts';
import { type LinearParameters, multiply, project, valueOf, type Weight } from './project.ts';

/** The parameters of a block of the vision tower, by Hugging Face's names. */
export interface VisionBlockParameters {
  norm1: { weight: Weight };
  norm2: { weight: Weight };
  attn: Record<'qkv' | 'proj', LinearParameters>;
  mlp: Record<'gate_proj' | 'up_proj' | 'down_proj', LinearParameters>;
}

/** The parameters of the merger. */
export interface MergerParameters {
  ln_q: { weight: Weight };
  /** linear, GELU (no parameters), linear */
  mlp: readonly [LinearParameters, undefined, LinearParameters];
}

/** What a block needs to know of the layout (see `visionLayout.ts`), with A patches that attend to one another. */
export interface VisionAttention {
  /** A: the patches of a window, or of an image */
  span: number;
  /** `[I W S, D / 2]` */
  cos: tf.Tensor;
  sin: tf.Tensor;
  /** `[I W S]`; none without padding */
  keyBias?: tf.Tensor;
}

/** What is the same for all blocks. */
export interface VisionContext {
  config: VisionConfig;
  compute: Compute;
}

const EPSILON = 1e-6;

/**
 * A block of the vision tower: attention within windows or images, and SwiGLU, each after an RMSNorm and added to its
 * input.
 *
 * @param x `[R, H]` in the layout's order, R = I W S
 * @returns `[R, H]`
 */
export function visionBlock(
  { norm1, norm2, attn, mlp }: VisionBlockParameters,
  x_RH: tf.Tensor,
  { span, cos, sin, keyBias }: VisionAttention,
  { config, compute }: VisionContext,
): tf.Tensor {
  const [rows, hidden] = x_RH.shape as [number, number];
  const headDim = hidden / config.numHeads;
  const segments = rows / span;
  const angles = (table: tf.Tensor): tf.Tensor => table.reshape([segments, 1, span, headDim / 2]);
  const heads = (x: tf.Tensor): tf.Tensor =>
    x.reshape([segments, span, config.numHeads, headDim]).transpose([0, 2, 1, 3]);
  const normed = rmsNorm(x_RH, valueOf(norm1.weight), EPSILON);
  const [q, k, v] = tf.split(project(normed, attn.qkv, compute), 3, 1).map(heads) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const turn = (x: tf.Tensor): tf.Tensor => rotate(x, angles(cos), angles(sin));
  const out_RH = attention(turn(q), turn(k), v, keyBias?.reshape([segments, 1, 1, span]))
    .transpose([0, 2, 1, 3])
    .reshape([rows, hidden]);
  const attended = x_RH.add(project(out_RH, attn.proj, compute));
  const second = rmsNorm(attended, valueOf(norm2.weight), EPSILON);
  const gated = swiglu(project(second, mlp.gate_proj, compute), project(second, mlp.up_proj, compute));
  return attended.add(project(gated, mlp.down_proj, compute));
}

/**
 * Embeds patches, in the layout's order: the convolution over whole patches is a product.
 * @param pixels `[patches, 1176]`
 * @param rows int32 `[R]`
 * @returns `[R, H]`
 */
export function embedPatches(weight: Weight, pixels: tf.Tensor, rows_R: tf.Tensor): tf.Tensor {
  return multiply(pixels.gather(rows_R), weight, 'float32');
}

/**
 * Merges each 2 x 2 patches into a token of the decoder.
 * @param x `[R, H]`
 * @returns `[R / 4, out]`
 */
export function mergePatches(
  { ln_q, mlp }: MergerParameters,
  x_RH: tf.Tensor,
  { config, compute }: VisionContext,
): tf.Tensor {
  const width = config.hiddenSize * config.spatialMergeSize ** 2;
  const normed = rmsNorm(x_RH, valueOf(ln_q.weight), EPSILON).reshape([-1, width]);
  return project(gelu(project(normed, mlp[0], compute)), mlp[2], compute);
}

/* The exact form. */
const gelu = (x: tf.Tensor): tf.Tensor => x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1));
