import { z } from 'zod';
import { CheckpointError } from '../common/errors.ts';

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

/**
 * Reads `config.json` in either form.
 * @param json its parsed content
 * @param file for messages
 * @throws CheckpointError that names the file and each field that is wrong
 */
export function parseModelConfig(json: unknown, file: string): ModelConfig {
  const isObject = typeof json === 'object' && json !== null;
  const type = isObject && 'model_type' in json ? json.model_type : undefined;
  if (type !== 'qwen2_5_vl') {
    throw new CheckpointError(
      `${file}: model_type is ${JSON.stringify(type)}, but only qwen2_5_vl works (Qwen2.5-VL, Fine-R1).`,
    );
  }
  const result = (isObject && 'text_config' in json ? nestedSchema : flatSchema).safeParse(json);
  if (!result.success) throw new CheckpointError(`${file} is wrong:\n${z.prettifyError(result.error)}`);
  const { data } = result;
  const text = textConfig(
    'text_config' in data ? (data.text_config as TextFields) : (data as TextFields),
    file,
  );
  const vision = visionConfig(data.vision_config, text, file);
  return {
    vision,
    text,
    imageTokenId: data.image_token_id,
    videoTokenId: data.video_token_id,
    visionStartTokenId: data.vision_start_token_id,
    visionEndTokenId: data.vision_end_token_id,
    tieWordEmbeddings: data.tie_word_embeddings,
  };
}

type TextFields = z.infer<typeof textSchema>;

const DEFAULT_ROPE_THETA = 1e6;
const DEFAULT_CHANNELS = 3;

function textConfig(fields: TextFields, file: string): TextConfig {
  const rope = fields.rope_parameters ?? fields.rope_scaling;
  const headDim = fields.hidden_size / fields.num_attention_heads;
  const [time = 0, rows = 0, columns = 0] = rope?.mrope_section ?? [];
  assertConfig(
    headDim % 2 === 0,
    `${file}: hidden_size ${fields.hidden_size} is not an even multiple of num_attention_heads ` +
      `${fields.num_attention_heads}.`,
  );
  assertConfig(
    fields.num_attention_heads % fields.num_key_value_heads === 0,
    `${file}: num_attention_heads ${fields.num_attention_heads} is no multiple of num_key_value_heads ` +
      `${fields.num_key_value_heads}.`,
  );
  assertConfig(
    time + rows + columns === headDim / 2,
    `${file}: mrope_section [${[time, rows, columns].join(', ')}] has to add up to half a head, ${headDim / 2}.`,
  );
  return {
    hiddenSize: fields.hidden_size,
    numLayers: fields.num_hidden_layers,
    numHeads: fields.num_attention_heads,
    numKeyValueHeads: fields.num_key_value_heads,
    headDim,
    intermediateSize: fields.intermediate_size,
    vocabSize: fields.vocab_size,
    rmsNormEps: fields.rms_norm_eps,
    ropeTheta: rope?.rope_theta ?? fields.rope_theta ?? DEFAULT_ROPE_THETA,
    mropeSection: [time, rows, columns],
  };
}

function visionConfig(fields: z.infer<typeof visionSchema>, text: TextConfig, file: string): VisionConfig {
  assertConfig(
    fields.out_hidden_size === text.hiddenSize,
    `${file}: vision_config.out_hidden_size ${fields.out_hidden_size} is not the decoder's hidden_size ${text.hiddenSize}.`,
  );
  assertConfig(
    (fields.hidden_size / fields.num_heads) % 4 === 0,
    `${file}: vision_config.hidden_size ${fields.hidden_size} over num_heads ${fields.num_heads} is no multiple of 4.`,
  );
  return {
    depth: fields.depth,
    hiddenSize: fields.hidden_size,
    intermediateSize: fields.intermediate_size,
    numHeads: fields.num_heads,
    inChannels: fields.in_channels ?? fields.in_chans ?? DEFAULT_CHANNELS,
    outHiddenSize: fields.out_hidden_size,
    patchSize: fields.patch_size,
    spatialMergeSize: fields.spatial_merge_size,
    temporalPatchSize: fields.temporal_patch_size,
    windowSize: fields.window_size,
    fullAttentionBlocks: fields.fullatt_block_indexes,
  };
}

function assertConfig(holds: boolean, message: string): void {
  if (!holds) throw new CheckpointError(`${message} Is it the config.json of this checkpoint?`);
}
