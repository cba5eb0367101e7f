import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { z } from 'zod';
import { readJson } from '../common/json.ts';
import { CheckpointError } from '../common/errors.ts';
import { attention } from '../ops/attention.ts';
import { compile } from '../runtime/compile.ts';
import type { Variable } from '../runtime/variable.ts';
import { readCheckpointIndex } from './checkpoint.ts';
import { loadTensor, nestParameters } from './parameters.ts';
import { type LinearParameters, project, valueOf, type Weight } from './project.ts';

/** SigLIP's text tower (Zhai et al. 2023), which places texts so that those of one meaning are near. */
export interface SiglipText extends Disposable {
  config: SiglipTextConfig;
  /**
   * Embeds texts.
   * @param ids `[B, maxTokens]`, padded: padding is attended to, as in SigLIP's training
   * @returns of each text a vector of length 1
   */
  embed(ids: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** What `embed` is made of: `[B, L, H]` after the last norm, and `[B, P]` of the last token through the head. */
  encode(ids: tf.Tensor2D): { hidden: tf.Tensor; pooled: tf.Tensor };
}

const positive = z.int().positive();
const textSchema = z
  .object({
    hidden_size: positive.default(768),
    intermediate_size: positive.default(3072),
    num_hidden_layers: positive.default(12),
    num_attention_heads: positive.default(12),
    vocab_size: positive.default(32000),
    max_position_embeddings: positive.default(64),
    hidden_act: z.literal('gelu_pytorch_tanh').default('gelu_pytorch_tanh'),
    layer_norm_eps: z.number().positive().default(1e-6),
    projection_size: positive.nullish(),
  })
  .refine((text) => text.hidden_size % text.num_attention_heads === 0, {
    path: ['hidden_size'],
    error: 'expected a multiple of num_attention_heads',
  })
  .transform((text) => ({
    hiddenSize: text.hidden_size,
    intermediateSize: text.intermediate_size,
    numLayers: text.num_hidden_layers,
    numHeads: text.num_attention_heads,
    vocabSize: text.vocab_size,
    maxTokens: text.max_position_embeddings,
    layerNormEps: text.layer_norm_eps,
    projectionSize: text.projection_size ?? text.hidden_size,
  }));
/* What a released config.json leaves out has transformers' defaults. */
const configSchema = z.object({
  model_type: z.literal('siglip'),
  text_config: z.preprocess((value) => value ?? {}, textSchema),
});

/** The text tower's part of a SigLIP's `config.json`. */
export type SiglipTextConfig = z.output<typeof textSchema>;

interface NormParameters {
  weight: Weight;
  bias: Weight;
}
interface LayerParameters {
  layer_norm1: NormParameters;
  layer_norm2: NormParameters;
  self_attn: Record<'q_proj' | 'k_proj' | 'v_proj' | 'out_proj', LinearParameters>;
  mlp: Record<'fc1' | 'fc2', LinearParameters>;
}
interface TextParameters {
  embeddings: Record<'token_embedding' | 'position_embedding', { weight: Weight }>;
  encoder: { layers: LayerParameters[] };
  final_layer_norm: NormParameters;
  head: LinearParameters;
}

const PREFIX = 'text_model.';

/**
 * Loads the text tower of a SigLIP.
 * @param folder in Hugging Face's layout
 * @throws CheckpointError if a file is missing or damaged, it is no SigLIP, or tensors are missing, left over or of another
 *   shape
 */
export function loadSiglipText(folder: string): SiglipText {
  const file = join(folder, 'config.json');
  const result = configSchema.safeParse(readJson(file));
  if (!result.success) {
    throw new CheckpointError(
      `${file} is wrong; is it the config.json of a SigLIP?\n${z.prettifyError(result.error)}`,
    );
  }
  const config = result.data.text_config;
  const parameters = loadText(folder, config);
  const tree = nestParameters(parameters) as unknown as TextParameters;
  const encode = compile((ids: tf.Tensor) => encodeText(tree, ids, config), { name: 'siglipText' });
  return {
    config,
    encode: (ids) => encode(ids),
    embed: async (ids) => {
      const input = tf.tensor2d(ids.map((row) => [...row]), undefined, 'int32'); // prettier-ignore
      const { hidden, pooled } = encode(input);
      const unit = tf.tidy(() => pooled.div(pooled.norm('euclidean', -1, true)));
      const values = await unit.data<'float32'>();
      tf.dispose([input, hidden, pooled, unit]);
      const size = config.projectionSize;
      return ids.map((_, i) => values.slice(i * size, (i + 1) * size));
    },
    [Symbol.dispose]: () => {
      encode.dispose();
      for (const variable of parameters.values()) variable.dispose();
    },
  };
}

function loadText(folder: string, config: SiglipTextConfig): Map<string, Variable> {
  const located = [...readCheckpointIndex(folder)].filter(([name]) => name.startsWith(PREFIX));
  const found = new Map(located.map(([name, tensor]) => [name.slice(PREFIX.length), tensor]));
  const expected = expectedShapes(config);
  const text = (shape: readonly number[] | undefined): string =>
    shape === undefined ? 'nothing' : `[${shape.join(', ')}]`;
  const wrong = [...new Set([...expected.keys(), ...found.keys()])].find(
    (name) => text(found.get(name)?.shape) !== text(expected.get(name)),
  );
  if (wrong !== undefined) {
    throw new CheckpointError(
      `The weights in ${folder} do not fit its config.json: ${PREFIX}${wrong}: found ${text(found.get(wrong)?.shape)}, ` +
        `expected ${text(expected.get(wrong))}. Fetch both again.`,
    );
  }
  const parameters = new Map<string, Variable>();
  try {
    for (const [name, tensor] of found) parameters.set(name, loadTensor(name, tensor, 'float32'));
  } catch (error) {
    for (const variable of parameters.values()) variable.dispose();
    throw error;
  }
  return parameters;
}

function expectedShapes(config: SiglipTextConfig): Map<string, number[]> {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  const norm = (name: string): [string, number[]][] => linear(name, [hidden]);
  const layers = Array.from({ length: config.numLayers }, (_, i) => `encoder.layers.${i}`);
  return new Map([
    ['embeddings.token_embedding.weight', [config.vocabSize, hidden]],
    ['embeddings.position_embedding.weight', [config.maxTokens, hidden]],
    ...layers.flatMap((layer) => [
      ...norm(`${layer}.layer_norm1`),
      ...norm(`${layer}.layer_norm2`),
      ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((name) =>
        linear(`${layer}.self_attn.${name}`, [hidden, hidden]),
      ),
      ...linear(`${layer}.mlp.fc1`, [inner, hidden]),
      ...linear(`${layer}.mlp.fc2`, [hidden, inner]),
    ]),
    ...norm('final_layer_norm'),
    ...linear('head', [config.projectionSize, hidden]),
  ]);
}

const linear = (name: string, weight: number[]): [string, number[]][] => [
  [`${name}.weight`, weight],
  [`${name}.bias`, weight.slice(0, 1)],
];

function encodeText(
  { embeddings, encoder, final_layer_norm, head }: TextParameters,
  ids: tf.Tensor,
  config: SiglipTextConfig,
): { hidden: tf.Tensor; pooled: tf.Tensor } {
  const [batch, length] = ids.shape as [number, number];
  const width = config.hiddenSize;
  const tokens = valueOf(embeddings.token_embedding.weight).gather(ids.flatten().toInt());
  const positions = valueOf(embeddings.position_embedding.weight).slice([0, 0], [length, width]);
  const x_BLH = tokens.reshape([batch, length, width]).add(positions);
  const last = encoder.layers.reduce((x, layer) => textLayer(layer, x, config), x_BLH);
  const hidden = layerNorm(last, final_layer_norm, config.layerNormEps);
  const end = hidden.slice([0, length - 1, 0], [batch, 1, width]).reshape([batch, width]);
  return { hidden, pooled: project(end, head, 'float32') };
}

/* Attention of all tokens to all, padding included, and the feed-forward, each after a norm. */
function textLayer(
  { layer_norm1, layer_norm2, self_attn, mlp }: LayerParameters,
  x_BLH: tf.Tensor,
  { numHeads, layerNormEps }: SiglipTextConfig,
): tf.Tensor {
  const [batch, length, width] = x_BLH.shape as [number, number, number];
  const normed = layerNorm(x_BLH, layer_norm1, layerNormEps);
  const heads = (name: 'q_proj' | 'k_proj' | 'v_proj'): tf.Tensor =>
    project(normed, self_attn[name], 'float32')
      .reshape([batch, length, numHeads, width / numHeads])
      .transpose([0, 2, 1, 3]);
  const out_BLH = attention(heads('q_proj'), heads('k_proj'), heads('v_proj'), undefined)
    .transpose([0, 2, 1, 3])
    .reshape([batch, length, width]);
  const attended = x_BLH.add(project(out_BLH, self_attn.out_proj, 'float32'));
  const inner = project(layerNorm(attended, layer_norm2, layerNormEps), mlp.fc1, 'float32');
  return attended.add(project(gelu(inner), mlp.fc2, 'float32'));
}

function layerNorm(x: tf.Tensor, { weight, bias }: NormParameters, epsilon: number): tf.Tensor {
  const centred = x.sub(x.mean(-1, true));
  const scale = centred.square().mean(-1, true).add(epsilon).rsqrt();
  return centred.mul(scale).mul(valueOf(weight)).add(valueOf(bias));
}

/* The tanh form. */
const gelu = (x: tf.Tensor): tf.Tensor =>
  x
    .pow(3)
    .mul(0.044715)
    .add(x)
    .mul(Math.sqrt(2 / Math.PI))
    .tanh()
    .add(1)
    .mul(x.mul(0.5));
