import * as tf from '@tensorflow/tfjs';
import type { ModelConfig, TextConfig } from '../config/model.ts';
import { layOutText } from '../model/inputs.ts';
import { expectedTensors } from '../model/names.ts';
import { createQwen25VL } from '../model/qwen25vl.ts';
import { uniform } from '../runtime/random.ts';
import type { VariableDType } from '../runtime/storage.ts';
import { Variable } from '../runtime/variable.ts';
import { type Checkpointing, createVjp } from '../train/vjp.ts';
import { layerTraining } from './planWork.ts';

/** What this machine reaches. */
export interface Measured {
  /** operations a second in forward and backward pass of a decoder layer */
  flops: number;
  /** bytes a second that an op over a large tensor reads and writes */
  bytesPerSecond: number;
}

/* A larger layer has fewer heads in the measurement: it is to take seconds. */
const LAYER_ELEMENTS = 2 ** 25;
const TOKENS = 1024;
const RUNS = 3;
const VOCABULARY = 256;

/**
 * Measures a decoder layer of a model's shape, with weights of its own, in forward and backward pass.
 * @param length of a row, with padding
 */
export async function measureTraining(
  config: ModelConfig,
  { dtype, checkpointing, length }: { dtype: VariableDType; checkpointing: Checkpointing; length: number },
): Promise<Measured> {
  const bytesPerSecond = await measureMemory();
  const text = { ...narrowed(config.text), numLayers: 1, vocabSize: VOCABULARY };
  const model: ModelConfig = {
    ...config,
    text,
    imageTokenId: VOCABULARY,
    vision: { ...config.vision, depth: 0 },
  };
  const parameters = new Map<string, Variable>();
  let elements = 0;
  for (const [name, shape] of expectedTensors(model, { head: false })) {
    if (name.startsWith('model.layers.')) elements += tf.util.sizeFromShape(shape);
    tf.tidy(() => {
      const value = uniform([1, parameters.size], shape).sub(0.5).mul(0.05);
      parameters.set(name, Variable.fromTensor(value, { name, dtype }));
    });
  }
  using network = createQwen25VL(model, parameters, {
    compute: dtype === 'bfloat16' ? 'bfloat16' : 'float32',
  });
  const vjp = createVjp(network, { checkpointing });
  const trainable = new Set([...parameters.keys()].filter((name) => name.startsWith('model.layers.')));
  const tokens = Math.min(length, TOKENS);
  const rows = Math.max(1, Math.floor(TOKENS / tokens));
  const sequences = Array.from({ length: rows }, () => ({
    ids: Array.from({ length: tokens }, () => 1),
    grids: [],
  }));
  const coefficients = tf.tensor1d([1]);
  const once = async (): Promise<number> => {
    const started = performance.now();
    const { gradients } = await vjp({
      inputs: { pixelValues: null, imageGridThw: [] },
      rows: sequences,
      batch: layOutText(sequences, model),
      places: { rows: Int32Array.of(0), targets: Int32Array.of(1) },
      data: { coefficients },
      temperature: 1,
      trainable,
    });
    // On a GPU what is computed is there when it is read.
    const last = [...gradients.values()].map((gradient) => gradient.sum());
    await Promise.all(last.map((one) => one.data()));
    tf.dispose([...last, ...gradients.values()]);
    return (performance.now() - started) / 1e3;
  };
  try {
    await once(); // compiles
    const times: number[] = [];
    for (let run = 0; run < RUNS; run++) times.push(await once());
    const seconds = times.sort((a, b) => a - b)[Math.floor(RUNS / 2)] as number;
    const shape = { rows, length: tokens, places: 0, images: 0, patches: 0 };
    const work = layerTraining(model, elements, shape, { checkpointing, trainsWeights: true });
    return { flops: work / seconds, bytesPerSecond };
  } finally {
    coefficients.dispose();
    for (const variable of parameters.values()) variable.dispose();
  }
}

/* The same layer with a part of its heads, each as large as before. */
function narrowed(text: TextConfig): TextConfig {
  const { hiddenSize, numHeads, numKeyValueHeads, intermediateSize } = text;
  const isSmall = hiddenSize * (3 * hiddenSize + 3 * intermediateSize) <= LAYER_ELEMENTS;
  if (isSmall || numKeyValueHeads % 2 !== 0) return text;
  return narrowed({
    ...text,
    hiddenSize: hiddenSize / 2,
    numHeads: numHeads / 2,
    numKeyValueHeads: numKeyValueHeads / 2,
    intermediateSize: Math.ceil(intermediateSize / 2),
  });
}

const MEASURED_ELEMENTS = 2 ** 23;
const PASSES = 4;

async function measureMemory(): Promise<number> {
  const x = tf.zeros([MEASURED_ELEMENTS]);
  const pass = async (): Promise<void> => {
    const y = x.add(1);
    const one = y.slice([0], [1]);
    await one.data();
    tf.dispose([y, one]);
  };
  await pass();
  const started = performance.now();
  for (let i = 0; i < PASSES; i++) await pass();
  const seconds = (performance.now() - started) / 1e3;
  x.dispose();
  return (PASSES * 2 * 4 * MEASURED_ELEMENTS) / seconds;
}
