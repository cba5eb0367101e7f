import * as tf from '@tensorflow/tfjs';
import type { ModelConfig, TextConfig } from '../config/model.ts';
import { type LogProbs, logProbs } from '../ops/logProbs.ts';
import { rmsNorm } from '../ops/rmsNorm.ts';
import { linear } from '../runtime/linear.ts';
import type { Compute } from '../runtime/tensorflow/multiply.ts';
import type { Variable } from '../runtime/variable.ts';
import {
  causalLayer,
  type DecoderContext,
  type LayerParameters,
  prefillLayer,
  type Rotary,
  rotaryAt,
  rotaryTables,
  type SharedRow,
} from './decoder.ts';
import { type CompiledFunctions, type FlatParameters, flatPart, withAdapters } from './functions.ts';
import type { Weight } from './project.ts';

/** Sequences on the device, padded on the right. */
export interface TextInputs {
  /** int32 `[B, L]` */
  ids: tf.Tensor;
  /** int32 `[3, B, L]` */
  positions: tf.Tensor;
  /** what the image tokens are replaced by; none without images */
  images?: ImageFeatures;
  /** where the responses of prompts share them: B is 1 then */
  shared?: SharedRow;
}

/** The merger's output, and where it goes. */
export interface ImageFeatures {
  /** `[F, H]` */
  features: tf.Tensor;
  /** int32 `[B L]`: the row of the embeddings, then of the features, that each place takes */
  source: tf.Tensor;
}

// Logits that exist at once, at most.
const LOGITS_AT_ONCE = 2 ** 25;
const FIRST_POSITIONS = 2048;

/** How the decoder computes. */
export interface TextModelOptions {
  compute: Compute;
  /** alpha / r of the adapter, if there is one */
  loraScaling: number;
}

/** The decoder with its embedding and head, as compiled functions over its parameters. */
export type TextModel = ReturnType<typeof createTextModel>;

/**
 * Makes the decoder's functions.
 *
 * Where the model is small, whole passes are one function (`whole`); else a pass calls a function for each layer, which
 * is traced once for all layers, and only one layer's intermediate values live at a time.
 */
export function createTextModel(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Variable>,
  { compiled, whole }: CompiledFunctions,
  { compute, loraScaling }: TextModelOptions,
) {
  const { text } = config;
  const context: DecoderContext = { config: text, compute };
  const layers = Array.from({ length: text.numLayers }, (_, i) => flatPart(parameters, `model.layers.${i}.`));
  const embedding = parameters.get('model.embed_tokens.weight') as Variable;
  const norm = parameters.get('model.norm.weight') as Variable;
  const head = parameters.get('lm_head.weight') ?? embedding;
  const tree = (flat: FlatParameters<Weight>): LayerParameters =>
    withAdapters(flat, loraScaling) as LayerParameters;

  const embed = compiled('embed', embedTokens);
  const rotary = compiled('rotaryAt', (tables: Rotary, positions_3BL: tf.Tensor) =>
    rotaryAt(tables, positions_3BL, text),
  );
  const layer = compiled(
    'causalLayer',
    (flat: FlatParameters, x_BLH: tf.Tensor, at: Rotary, shared: SharedRow | undefined) =>
      causalLayer(tree(flat), x_BLH, at, context, shared),
  );
  const layerForCache = compiled('prefillLayer', (flat: FlatParameters, x_BLH: tf.Tensor, at: Rotary) =>
    prefillLayer(tree(flat), x_BLH, at, context),
  );
  /* Rows (int32 [R], of B L) of [B, L, H]. */
  const select = compiled('select', (x_BLH: tf.Tensor, rows_R: tf.Tensor) =>
    x_BLH.reshape([-1, text.hiddenSize]).gather(rows_R),
  );
  /* Logits [R, V] of hidden states [R, H] before the last norm. */
  const logits = compiled('logits', (x_RH: tf.Tensor) =>
    linear(rmsNorm(x_RH, norm.read(), text.rmsNormEps), head, { compute }),
  );
  const scoreChunk = compiled(
    'scoreChunk',
    (x_RH: tf.Tensor, targets_R: tf.Tensor, temperature: number): LogProbs => {
      const logits_RV = logits(x_RH);
      return logProbs(temperature === 1 ? logits_RV : logits_RV.div(temperature), targets_R);
    },
  );

  /* Hidden states [B, L, H] after the layers, before the last norm. */
  const hidden = whole('hidden', (inputs: TextInputs, tables: Rotary): tf.Tensor => {
    let x_BLH = embed(embedding, inputs);
    const at = rotary(tables, inputs.positions);
    for (const flat of layers) x_BLH = replace(x_BLH, layer(flat, x_BLH, at, inputs.shared));
    tf.dispose([at.cos, at.sin]);
    return x_BLH;
  });

  /* Logits of the places `rows_R` only, and every layer's keys and values. */
  const prefill = whole('prefill', (inputs: TextInputs, tables: Rotary, rows_R: tf.Tensor) => {
    let x_BLH = embed(embedding, inputs);
    const at = rotary(tables, inputs.positions);
    const caches = layers.map((flat) => {
      const { x, k, v } = layerForCache(flat, x_BLH, at);
      x_BLH = replace(x_BLH, x);
      return { k, v };
    });
    const last_RH = select(x_BLH, rows_R);
    const logits_RV = logits(last_RH);
    tf.dispose([at.cos, at.sin, x_BLH, last_RH]);
    return { logits: logits_RV, caches };
  });

  /* LogProbs of the tokens `targets_R` that follow the places `rows_R` of hidden states, in chunks. */
  const scorePlaces = (
    x_BLH: tf.Tensor,
    rows_R: tf.Tensor,
    targets_R: tf.Tensor,
    temperature: number,
  ): LogProbs => {
    const scores = chunksOf(rows_R.size, text.vocabSize).map(([begin, size]) =>
      tf.tidy(
        () =>
          scoreChunk(
            select(x_BLH, rows_R.slice(begin, size)),
            targets_R.slice(begin, size),
            temperature,
          ) as unknown as tf.TensorContainer,
      ),
    ) as unknown as LogProbs[];
    const join = (part: keyof LogProbs): tf.Tensor => tf.concat(scores.map((one) => one[part]));
    const joined = { logProbs: join('logProbs'), entropies: join('entropies') };
    for (const one of scores) tf.dispose([one.logProbs, one.entropies]);
    return joined;
  };

  /* LogProbs of the tokens `targets_R` that follow the places `rows_R`. */
  const score = whole(
    'score',
    (
      inputs: TextInputs,
      tables: Rotary,
      rows_R: tf.Tensor,
      targets_R: tf.Tensor,
      temperature: number,
    ): LogProbs => {
      const x_BLH = hidden(inputs, tables);
      const scores = scorePlaces(x_BLH, rows_R, targets_R, temperature);
      x_BLH.dispose();
      return scores;
    },
    { xla: true },
  );

  const tables = createRotaryTables(text);
  return {
    config,
    context,
    parameters,
    layers,
    embedding,
    norm,
    head,
    tree,
    embed,
    rotary,
    layer,
    select,
    logits,
    hidden,
    prefill,
    score,
    scorePlaces,
    tables: tables.atLeast,
    [Symbol.dispose]: (): void => {
      tables.dispose();
    },
  };
}

/* Tables of the rotary embedding that grow with the positions asked for. */
function createRotaryTables(config: TextConfig) {
  let tables: Rotary | undefined;
  const dispose = (): void => {
    if (tables !== undefined) tf.dispose([tables.cos, tables.sin]);
  };
  return {
    /** Tables for at least so many positions; they stay the model's. */
    atLeast: (positions: number): Rotary => {
      if (tables !== undefined && tables.cos.shape[0] >= positions) return tables;
      dispose();
      const count = 2 ** Math.ceil(Math.log2(Math.max(positions, FIRST_POSITIONS)));
      const { cos, sin } = rotaryTables(config, count);
      const shape: [number, number] = [count, config.headDim / 2];
      tables = { cos: tf.keep(tf.tensor2d(cos, shape)), sin: tf.keep(tf.tensor2d(sin, shape)) };
      return tables;
    },
    dispose,
  };
}

/** Parts of `rows` rows so that the logits of each part fit in memory. */
export function chunksOf(rows: number, vocabSize: number): [begin: number, size: number][] {
  const size = Math.max(1, Math.floor(LOGITS_AT_ONCE / vocabSize));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => [
    i * size,
    Math.min(size, rows - i * size),
  ]);
}

/** Embeds tokens, and puts the images' features in place of theirs: `[B, L, H]`. */
export function embedTokens(weight: Weight, { ids, images }: TextInputs): tf.Tensor {
  const embedded_BLH = weight instanceof tf.Tensor ? tf.gather(weight, ids) : weight.gather(ids);
  if (images === undefined) return embedded_BLH;
  const width = embedded_BLH.shape[2] as number;
  const rows = tf.concat([embedded_BLH.reshape([-1, width]), images.features]);
  return rows.gather(images.source).reshape(embedded_BLH.shape);
}

function replace(old: tf.Tensor, next: tf.Tensor): tf.Tensor {
  old.dispose();
  return next;
}
