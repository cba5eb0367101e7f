import * as tf from '@tensorflow/tfjs';
import { parseModelConfig } from '../../src/config/model.ts';
import type { ModelInputs } from '../../src/model/inputs.ts';
import { expectedTensors } from '../../src/model/names.ts';
import { createQwen25VL, type Qwen25VL } from '../../src/model/qwen25vl.ts';
import { Variable } from '../../src/runtime/index.ts';

/** Shapes of a benchmark, as the arguments of bench/peers/torch_reference.py. */
export interface SmallShape {
  hidden: number;
  layers: number;
}

const VOCAB = 2048;
const IMAGE_SIDE = 8;

/** A model with the shapes that bench/peers/torch_reference.py builds, and random weights. */
export function buildSmallModel({ hidden, layers }: SmallShape): Qwen25VL {
  const headDim = hidden >= 256 ? 64 : 16;
  const heads = hidden / headDim;
  const half = headDim / 2;
  const first = Math.floor(half / 4);
  const second = Math.floor((half - first) / 2);
  const visionHidden = Math.max(32, hidden / 2);
  const depth = Math.max(2, Math.floor(layers / 2));
  const config = parseModelConfig(
    {
      model_type: 'qwen2_5_vl',
      hidden_size: hidden,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      num_key_value_heads: Math.max(1, heads / 2),
      intermediate_size: 4 * hidden,
      vocab_size: VOCAB,
      rope_scaling: { type: 'mrope', mrope_section: [first, second, half - first - second] },
      vision_start_token_id: VOCAB - 8,
      vision_end_token_id: VOCAB - 7,
      image_token_id: VOCAB - 6,
      tie_word_embeddings: true,
      vision_config: {
        depth,
        hidden_size: visionHidden,
        intermediate_size: 4 * visionHidden,
        num_heads: visionHidden / 16,
        in_chans: 3,
        out_hidden_size: hidden,
        fullatt_block_indexes: [depth - 1],
      },
    },
    'the benchmark',
  );
  const parameters = new Map<string, Variable>();
  let key = 0;
  for (const [name, shape] of expectedTensors(config, { head: false })) {
    tf.tidy(() => {
      const isNorm = /norm|ln_q/.test(name);
      const value = isNorm ? tf.ones(shape) : tf.randomUniform(shape, -0.035, 0.035, 'float32', key++);
      parameters.set(name, Variable.fromTensor(value, { name }));
    });
  }
  return createQwen25VL(config, parameters, { compute: 'float32' });
}

/** Rows of `length` tokens with one image of 112 x 112 pixels each, as the peer makes them. */
export function smallInputs(batch: number, length: number): ModelInputs {
  const imageTokens = (IMAGE_SIDE * IMAGE_SIDE) / 4;
  let state = 1;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  const token = (): number => 2 + Math.floor(random() * (VOCAB - 10));
  const text = length - imageTokens - 2;
  const row = (): number[] => [
    ...Array.from({ length: 4 }, token),
    VOCAB - 8,
    ...Array.from({ length: imageTokens }, () => VOCAB - 6),
    VOCAB - 7,
    ...Array.from({ length: text - 4 }, token),
  ];
  const patches = batch * IMAGE_SIDE * IMAGE_SIDE;
  return {
    inputIds: Array.from({ length: batch }, row),
    attentionMask: Array.from({ length: batch }, () => Array.from({ length }, () => 1)),
    pixelValues: Float32Array.from({ length: patches * 1176 }, () => 2 * random() - 1),
    imageGridThw: Array.from({ length: batch }, () => [1, IMAGE_SIDE, IMAGE_SIDE]),
  };
}
