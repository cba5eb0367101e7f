import * as tf from '@tensorflow/tfjs';
import type { TextConfig } from '../config/model.ts';
import { cachedAttention, type CachedProducts } from '../ops/cachedAttention.ts';
import { causalAttention } from '../ops/causalAttention.ts';
import { rmsNorm } from '../ops/rmsNorm.ts';
import { rotate, rotaryFrequencies } from '../ops/rotary.ts';
import { sharedPromptAttention, type SharedPrompts } from '../ops/sharedPromptAttention.ts';
import { swiglu } from '../ops/swiglu.ts';
import type { Compute } from '../runtime/tensorflow/multiply.ts';
import type { Variable } from '../runtime/variable.ts';
import { type LinearParameters, project, valueOf, type Weight } from './project.ts';

/** The parameters of a decoder layer, by Hugging Face's names. */
export interface LayerParameters {
  input_layernorm: { weight: Weight };
  self_attn: Record<'q_proj' | 'k_proj' | 'v_proj' | 'o_proj', LinearParameters>;
  post_attention_layernorm: { weight: Weight };
  mlp: Record<'gate_proj' | 'up_proj' | 'down_proj', LinearParameters>;
}

/** Cosines and sines of the rotary embedding, `[..., D / 2]`. */
export interface Rotary {
  cos: tf.Tensor;
  sin: tf.Tensor;
}

/** Makes output `[B, N, L, D]` of queries `[B, N, L, D]`, keys and values `[B, K, L, D]`. */
type Attend = (q_BNLD: tf.Tensor, k_BKLD: tf.Tensor, v_BKLD: tf.Tensor) => tf.Tensor;

/** What is the same for all layers. */
export interface DecoderContext {
  config: TextConfig;
  compute: Compute;
}

/**
 * A decoder layer: attention and SwiGLU, each after an RMSNorm and added to its input.
 *
 * @param x `[B, L, H]`
 * @param rotary `[B, 1, L, D / 2]`
 * @returns `[B, L, H]`
 */
export function decoderLayer(
  parameters: LayerParameters,
  x_BLH: tf.Tensor,
  rotary: Rotary,
  attend: Attend,
  { config, compute }: DecoderContext,
): tf.Tensor {
  const { input_layernorm, self_attn, post_attention_layernorm, mlp } = parameters;
  const [batch, length] = x_BLH.shape as [number, number];
  const { headDim, rmsNormEps } = config;
  const heads = (x: tf.Tensor): tf.Tensor =>
    length === 1
      ? x.reshape([batch, -1, 1, headDim])
      : x.reshape([batch, length, -1, headDim]).transpose([0, 2, 1, 3]);
  const normed = rmsNorm(x_BLH, valueOf(input_layernorm.weight), rmsNormEps);
  const q_BNLD = rotate(heads(project(normed, self_attn.q_proj, compute)), rotary.cos, rotary.sin);
  const k_BKLD = rotate(heads(project(normed, self_attn.k_proj, compute)), rotary.cos, rotary.sin);
  const v_BKLD = heads(project(normed, self_attn.v_proj, compute));
  const out_BNLD = attend(q_BNLD, k_BKLD, v_BKLD);
  const out_BLH = (length === 1 ? out_BNLD : out_BNLD.transpose([0, 2, 1, 3])).reshape([batch, length, -1]);
  const attended = x_BLH.add(project(out_BLH, self_attn.o_proj, compute));
  const hidden = rmsNorm(attended, valueOf(post_attention_layernorm.weight), rmsNormEps);
  const gated = swiglu(project(hidden, mlp.gate_proj, compute), project(hidden, mlp.up_proj, compute));
  return attended.add(project(gated, mlp.down_proj, compute));
}

/** Prompts that are followed by their responses in one row, on the device. */
export interface SharedRow {
  shape: SharedPrompts;
  /** int32 `[F]`: tokens of each prompt */
  lengths: tf.Tensor;
}

/**
 * A decoder layer over whole sequences.
 * @param shared where the responses of prompts share them: B is 1 then
 */
export function causalLayer(
  parameters: LayerParameters,
  x_BLH: tf.Tensor,
  rotary: Rotary,
  context: DecoderContext,
  shared: SharedRow | undefined,
): tf.Tensor {
  const attend: Attend =
    shared === undefined
      ? causalAttention
      : (q, k, v) => sharedPromptAttention(q, k, v, shared.lengths, shared.shape);
  return decoderLayer(parameters, x_BLH, rotary, attend, context);
}

/** As `causalLayer`; returns the keys and values `[B, K, L, D]` too, for a cache. */
export function prefillLayer(
  parameters: LayerParameters,
  x_BLH: tf.Tensor,
  rotary: Rotary,
  context: DecoderContext,
): { x: tf.Tensor; k: tf.Tensor; v: tf.Tensor } {
  let kept: { k: tf.Tensor; v: tf.Tensor } | undefined;
  const attend: Attend = (q, k, v) => {
    kept = { k, v };
    return causalAttention(q, k, v);
  };
  const x = decoderLayer(parameters, x_BLH, rotary, attend, context);
  return { x, ...(kept as unknown as { k: tf.Tensor; v: tf.Tensor }) };
}

/** Keys and values of one layer, for S slots. */
export interface LayerCache {
  /** `[B, K D, S]` */
  k: Variable;
  /** `[B, S, K D]` */
  v: Variable;
}

/** Where a token of each row goes, and what it sees. */
export interface DecodeStep {
  /** the slot that is written, int32 scalar */
  slot: tf.Scalar;
  /** `[B, 1, 1, S]`: 0 at slots that are seen, else very negative */
  bias: tf.Tensor;
  products: CachedProducts;
}

/**
 * A decoder layer over one token a row, which sees what the cache holds and is added to it.
 * @param x `[B, 1, H]`
 */
export function cachedLayer(
  parameters: LayerParameters,
  cache: LayerCache,
  x_B1H: tf.Tensor,
  rotary: Rotary,
  { slot, bias, products }: DecodeStep,
  context: DecoderContext,
): tf.Tensor {
  const attend: Attend = (q_BN1D, k_BK1D, v_BK1D) => {
    const beginAt = (axis: number): tf.Tensor1D =>
      tf.scatterND<tf.Rank.R1>(tf.tensor2d([[axis]], [1, 1], 'int32'), slot.reshape([1]), [3]);
    const batch = k_BK1D.shape[0];
    cache.k.assignSlice(k_BK1D.reshape([batch, -1, 1]), beginAt(2));
    cache.v.assignSlice(v_BK1D.reshape([batch, 1, -1]), beginAt(1));
    return cachedAttention(q_BN1D, cache.k.read(), cache.v.read(), bias, products);
  };
  return decoderLayer(parameters, x_B1H, rotary, attend, context);
}

/** Host tables of the rotary embedding for positions 0 to `positions` - 1: `[positions, D / 2]`, float32 as torch. */
export function rotaryTables(
  { ropeTheta, headDim }: TextConfig,
  positions: number,
): { cos: Float32Array; sin: Float32Array } {
  const frequencies = rotaryFrequencies(ropeTheta, headDim);
  const half = frequencies.length;
  const angles = Float32Array.from(
    { length: positions * half },
    (_, i) => Math.floor(i / half) * (frequencies[i % half] as number),
  );
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin) };
}

/**
 * The multimodal rotary embedding of Qwen2.5-VL: the first frequencies turn by time, the next by row, the last by
 * column (`mrope_section`).
 *
 * @param tables `[P, D / 2]`
 * @param positions int32 `[3, B, L]`, below P
 * @returns `[B, 1, L, D / 2]`
 */
export function rotaryAt(
  { cos, sin }: Rotary,
  positions_3BL: tf.Tensor,
  { mropeSection }: TextConfig,
): Rotary {
  const axes = tf.unstack(positions_3BL, 0);
  const pick = (table: tf.Tensor): tf.Tensor => {
    const sections = tf.split(table, [...mropeSection], 1);
    return tf
      .concat(
        sections.map((section, axis) => tf.gather(section, axes[axis] as tf.Tensor)),
        -1,
      )
      .expandDims(1);
  };
  return { cos: pick(cos), sin: pick(sin) };
}

/**
 * The same where time, row and column are equal, as in text.
 * @param positions int32 `[B]`
 * @returns `[B, 1, 1, D / 2]`
 */
export function textRotaryAt({ cos, sin }: Rotary, positions_B: tf.Tensor): Rotary {
  const pick = (table: tf.Tensor): tf.Tensor =>
    tf.gather(table, positions_B).reshape([positions_B.size, 1, 1, -1]);
  return { cos: pick(cos), sin: pick(sin) };
}
