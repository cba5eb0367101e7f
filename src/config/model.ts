import { z } from 'zod';

const positive = z.int().positive();

const visionSchema = z.object({
  depth: positive,
  hidden_size: positive,
  intermediate_size: positive,
  num_heads: positive,
  in_channels: positive.optional(),
  in_chans: positive.optional(),
  out_hidden_size: positive,
  patch_size: positive.default(14),
  spatial_merge_size: positive.default(2),
  temporal_patch_size: positive.default(2),
  window_size: positive.default(112),
  fullatt_block_indexes: z.array(z.int().min(0)),
  hidden_act: z.literal('silu').default('silu'),
});

const mropeSchema = z.object({
  type: z.enum(['mrope', 'default']).optional(),
  rope_type: z.enum(['mrope', 'default']).optional(),
  mrope_section: z.array(positive).length(3),
  rope_theta: z.number().positive().optional(),
});

const textSchema = z.object({
  hidden_size: positive,
  num_hidden_layers: positive,
  num_attention_heads: positive,
  num_key_value_heads: positive,
  intermediate_size: positive,
  vocab_size: positive,
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().optional(),
  rope_scaling: mropeSchema.optional(),
  rope_parameters: mropeSchema.optional(),
  max_position_embeddings: positive.default(128_000),
  hidden_act: z.literal('silu').default('silu'),
  use_sliding_window: z.literal(false).default(false),
});

const idsSchema = z.object({
  model_type: z.literal('qwen2_5_vl'),
  image_token_id: z.int(),
  video_token_id: z.int().optional(),
  vision_start_token_id: z.int(),
  vision_end_token_id: z.int(),
  tie_word_embeddings: z.boolean().optional(),
  vision_config: visionSchema,
});

/** `config.json` flat, as Qwen2.5-VL was released. */
const flatSchema = z.looseObject({ ...idsSchema.shape, ...textSchema.shape });
/** `config.json` as transformers 5 writes it. */
const nestedSchema = z.looseObject({ ...idsSchema.shape, text_config: textSchema });

/** The shape of the vision tower, in Hugging Face's terms. */
export interface VisionConfig {
  depth: number;
  hiddenSize: number;
  intermediateSize: number;
  numHeads: number;
  inChannels: number;
  outHiddenSize: number;
  /** side of a patch in pixels */
  patchSize: number;
  /** side of a merged token in patches */
  spatialMergeSize: number;
  temporalPatchSize: number;
  /** side of an attention window in pixels */
  windowSize: number;
  /** blocks in which a patch attends to the whole image */
  fullAttentionBlocks: readonly number[];
}

/** The shape of the decoder. */
export interface TextConfig {
  hiddenSize: number;
  numLayers: number;
  numHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  intermediateSize: number;
  vocabSize: number;
  rmsNormEps: number;
  ropeTheta: number;
  /** how many of the `headDim / 2` frequencies turn by time, row and column */
  mropeSection: readonly [number, number, number];
}

/** What `config.json` says of a Qwen2.5-VL. */
export interface ModelConfig {
  vision: VisionConfig;
  text: TextConfig;
  imageTokenId: number;
  videoTokenId: number | undefined;
  visionStartTokenId: number;
  visionEndTokenId: number;
  /** undefined where the file does not say */
  tieWordEmbeddings: boolean | undefined;
}
