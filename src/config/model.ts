import { z } from 'zod';
import { CheckpointError } from '../common/errors.ts';

const positive = z.int().positive();
const index = z.int().min(0);

const visionSchema = z.object({
  depth: positive,
  hidden_size: positive,
  intermediate_size: positive,
  num_heads: positive,
  in_channels: positive.optional(),
  /** the released name; transformers 5 writes `in_channels` */
  in_chans: positive.optional(),
  out_hidden_size: positive,
  patch_size: positive.default(14),
  spatial_merge_size: positive.default(2),
  temporal_patch_size: positive.default(2),
  window_size: positive.default(112),
  fullatt_block_indexes: z.array(index),
  hidden_act: z.literal('silu').default('silu'),
});

const ropeSchema = z.object({
  type: z.enum(['mrope', 'default']).optional(),
  rope_type: z.enum(['mrope', 'default']).optional(),
  mrope_section: z.tuple([positive, positive, positive]),
  rope_theta: z.number().positive().optional(),
});

const textSchema = z.object({
  hidden_size: positive,
  num_hidden_layers: positive,
  num_attention_heads: positive,
  num_key_value_heads: positive,
  intermediate_size: positive,
  vocab_size: positive,
  // transformers' default; the released files say 1e-6
  rms_norm_eps: z.number().positive().default(1e-5),
  rope_theta: z.number().positive().default(1e6),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  hidden_act: z.literal('silu').default('silu'),
  use_sliding_window: z.literal(false).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
});

const modelSchema = z.object({
  image_token_id: index,
  video_token_id: index.optional(),
  vision_start_token_id: index,
  vision_end_token_id: index,
  tie_word_embeddings: z.boolean().nullish(),
  vision_config: visionSchema,
});

/** `config.json` as transformers 5 writes it. */
const nestedSchema = modelSchema.extend({ text_config: textSchema });
/** `config.json` flat, as Qwen2.5-VL was released. */
const flatSchema = modelSchema
  .extend(textSchema.shape)
  .transform((fields) => ({ ...fields, text_config: fields }));

type VisionFields = z.infer<typeof visionSchema>;
type TextFields = z.infer<typeof textSchema>;

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
  const fields = typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  if (fields.model_type !== 'qwen2_5_vl') {
    throw new CheckpointError(
      `${file}: model_type is ${fields.model_type === undefined ? 'missing' : JSON.stringify(fields.model_type)}, expected "qwen2_5_vl": only ` +
        'Qwen2.5-VL (Fine-R1) works. Give the folder of such a model.',
    );
  }
  const isNested = fields.text_config !== undefined && fields.text_config !== null;
  const result = (isNested ? nestedSchema : flatSchema).safeParse(json);
  if (!result.success) throw wrong(file, z.prettifyError(result.error));
  const { data } = result;
  const problems = [
    ...textProblems(data.text_config),
    ...visionProblems(data.vision_config, data.text_config),
  ];
  if (problems.length > 0) throw wrong(file, problems.map((problem) => `✖ ${problem}`).join('\n'));
  return {
    vision: visionConfig(data.vision_config),
    text: textConfig(data.text_config),
    imageTokenId: data.image_token_id,
    videoTokenId: data.video_token_id,
    visionStartTokenId: data.vision_start_token_id,
    visionEndTokenId: data.vision_end_token_id,
    // Nested files of transformers 4 say it of the text.
    tieWordEmbeddings: data.tie_word_embeddings ?? data.text_config.tie_word_embeddings ?? undefined,
  };
}

const wrong = (file: string, problems: string): CheckpointError =>
  new CheckpointError(`${file} is wrong; is it the config.json of this checkpoint?\n${problems}`);

/* transformers takes `rope_scaling` where a file has both. */
const ropeOf = (text: TextFields) => text.rope_scaling ?? text.rope_parameters;

function textProblems(text: TextFields): string[] {
  const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: groups } = text;
  const section = ropeOf(text)?.mrope_section;
  if (hidden % (2 * heads) !== 0) {
    return [`hidden_size is ${hidden}, expected an even multiple of num_attention_heads, ${heads}`];
  }
  const half = hidden / heads / 2;
  return [
    ...unless(
      heads % groups === 0,
      `num_attention_heads is ${heads}, expected a multiple of num_key_value_heads, ${groups}`,
    ),
    ...unless(
      section?.reduce((sum, part) => sum + part) === half,
      `mrope_section (of rope_scaling or rope_parameters) is ${section ? `[${section.join(', ')}]` : 'missing'}, ` +
        `expected three numbers that add up to half a head, ${half}`,
    ),
  ];
}

function visionProblems(vision: VisionFields, text: TextFields): string[] {
  const mergedSide = vision.patch_size * vision.spatial_merge_size;
  return [
    ...unless(
      vision.out_hidden_size === text.hidden_size,
      `vision_config.out_hidden_size is ${vision.out_hidden_size}, expected the decoder's hidden_size, ${text.hidden_size}`,
    ),
    // Half of a head turns by the row, half by the column, each in pairs.
    ...unless(
      vision.hidden_size % (4 * vision.num_heads) === 0,
      `vision_config.hidden_size is ${vision.hidden_size}, expected a multiple of 4 * num_heads, ${4 * vision.num_heads}`,
    ),
    ...unless(
      vision.window_size >= mergedSide,
      `vision_config.window_size is ${vision.window_size}, expected at least a merged token's side, ${mergedSide} pixels`,
    ),
  ];
}

const unless = (holds: boolean, problem: string): string[] => (holds ? [] : [problem]);

function textConfig(fields: TextFields): TextConfig {
  // There is one, or textProblems() would have said so.
  const rope = ropeOf(fields) as z.infer<typeof ropeSchema>;
  return {
    hiddenSize: fields.hidden_size,
    numLayers: fields.num_hidden_layers,
    numHeads: fields.num_attention_heads,
    numKeyValueHeads: fields.num_key_value_heads,
    headDim: fields.hidden_size / fields.num_attention_heads,
    intermediateSize: fields.intermediate_size,
    vocabSize: fields.vocab_size,
    rmsNormEps: fields.rms_norm_eps,
    ropeTheta: rope.rope_theta ?? fields.rope_theta,
    mropeSection: rope.mrope_section,
  };
}

const CHANNELS = 3;

function visionConfig(fields: VisionFields): VisionConfig {
  return {
    depth: fields.depth,
    hiddenSize: fields.hidden_size,
    intermediateSize: fields.intermediate_size,
    numHeads: fields.num_heads,
    inChannels: fields.in_channels ?? fields.in_chans ?? CHANNELS,
    outHiddenSize: fields.out_hidden_size,
    patchSize: fields.patch_size,
    spatialMergeSize: fields.spatial_merge_size,
    temporalPatchSize: fields.temporal_patch_size,
    windowSize: fields.window_size,
    fullAttentionBlocks: fields.fullatt_block_indexes,
  };
}
