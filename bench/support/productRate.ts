import * as tf from '@tensorflow/tfjs';
import type { Qwen25VL } from '../../src/model/qwen25vl.ts';
import { compile, linear, Variable } from '../../src/runtime/index.ts';
import { median, repeat } from './timing.ts';

const [IN_A_ROW, REPEATS] = [8, 30];

/**
 * Floating-point operations that a gradient cannot do without: the decoder's products by weights, the head's at supervised
 * tokens, and causal attention, forward and twice as many backward. The vision tower, which is frozen, is left out.
 */
export function gradientOperations(
  model: Qwen25VL,
  rows: number,
  length: number,
  supervised: number,
): number {
  const { numLayers, hiddenSize, vocabSize } = model.config.text;
  const weights = [...model.parameters]
    .filter(([name, { shape }]) => name.startsWith('model.layers.') && shape.length === 2)
    .reduce((sum, [, { shape }]) => sum + tf.util.sizeFromShape([...shape]), 0);
  // Scores of half of the keys, and their sum of values.
  const attention = numLayers * hiddenSize * length;
  const perRow = length * (weights + attention) + supervised * vocabSize * hiddenSize;
  return 3 * 2 * rows * perRow;
}

/** Operations a second of products of `rows` by a float32 weight of a decoder layer, `[4 hidden, hidden]`. */
export function productRate(rows: number, hidden: number): number {
  return tf.tidy(() => {
    const x = tf.randomUniform([rows, hidden]);
    using weight = Variable.fromTensor(tf.randomUniform([4 * hidden, hidden]));
    using run = compile(
      (rows_: tf.Tensor) =>
        tf.addN(
          Array.from({ length: IN_A_ROW }, (_, i) => linear(rows_.add(i), weight).slice([0, 0], [1, 1])),
        ),
      { xla: false },
    );
    const times = repeat(REPEATS, () => {
      run(x).dataSync();
    });
    return (IN_A_ROW * 2 * rows * hidden * 4 * hidden) / (median(times) / 1e3);
  });
}
