import * as tf from '@tensorflow/tfjs';
import type { Qwen25VL } from '../../src/model/qwen25vl.ts';
import { compile } from '../../src/runtime/index.ts';
import { median, repeat } from './timing.ts';

const [SIDE_BY_SIDE, REPEATS, WARM_UP] = [8, 15, 3];
/* As src/ops/causalAttention.ts takes the queries. */
const CHUNKS = 4;

/** A product of a training step, and how often it is in there. */
interface Product {
  count: number;
  a: number[];
  b: number[];
  transposed?: 'a' | 'b';
}

/** What a training step is measured on. */
export interface Step {
  rows: number;
  length: number;
  /** tokens of a row that have a loss */
  supervised: number;
}

/** How fast a step could multiply. */
export interface ProductRates {
  /** floating-point operations of the step's products */
  operations: number;
  /** seconds that they take when each is computed alone, in the faster way (graph or XLA) */
  seconds: number;
  /** operations a second of the fastest among them */
  best: number;
}

/**
 * Times the products of a gradient, forward and backward, each alone with its own shape: by the decoder's weights, the
 * head's at supervised tokens, and those of causal attention. The vision tower, which is frozen, is left out.
 */
export function measureProducts(model: Qwen25VL, step: Step): ProductRates {
  const rates: ProductRates = { operations: 0, seconds: 0, best: 0 };
  for (const product of productsOf(model, step)) {
    const operations = operationsOf(product);
    const seconds = Math.min(...[false, true].map((xla) => secondsOf(product, xla)));
    rates.operations += product.count * operations;
    rates.seconds += product.count * seconds;
    rates.best = Math.max(rates.best, operations / seconds);
  }
  return rates;
}

function productsOf({ config, parameters }: Qwen25VL, { rows, length, supervised }: Step): Product[] {
  const { numLayers, hiddenSize, vocabSize, numHeads, numKeyValueHeads, headDim } = config.text;
  const weights = [...parameters]
    .filter(([name, { shape }]) => name.startsWith('model.layers.0.') && shape.length === 2)
    .flatMap(([, { shape }]) => byWeight(numLayers, rows * length, shape as [number, number]));
  const chunk = length / CHUNKS;
  const queries = (numHeads / numKeyValueHeads) * chunk;
  const heads = rows * numKeyValueHeads;
  const attention = Array.from({ length: CHUNKS }, (_, i) => (i + 1) * chunk).flatMap((keys): Product[] => [
    // Scores, and the gradient of their softmax.
    { count: 2 * numLayers, a: [heads, queries, headDim], b: [heads, keys, headDim], transposed: 'b' },
    // The output, and the gradient of the queries.
    { count: 2 * numLayers, a: [heads, queries, keys], b: [heads, keys, headDim] },
    // The gradients of keys and values.
    { count: 2 * numLayers, a: [heads, headDim, queries], b: [heads, queries, keys] },
  ]);
  return [...weights, ...byWeight(1, rows * supervised, [vocabSize, hiddenSize]), ...attention];
}

/* x W^T, dy W and dy^T x. */
const byWeight = (count: number, rows: number, [out, width]: readonly [number, number]): Product[] => [
  { count, a: [rows, width], b: [out, width], transposed: 'b' },
  { count, a: [rows, out], b: [out, width] },
  { count, a: [rows, out], b: [rows, width], transposed: 'a' },
];

function operationsOf({ a, b, transposed }: Product): number {
  return 2 * tf.util.sizeFromShape(a) * (transposed === 'b' ? (b.at(-2) as number) : (b.at(-1) as number));
}

function secondsOf({ a, b, transposed }: Product, xla: boolean): number {
  return tf.tidy(() => {
    const factors = Array.from({ length: SIDE_BY_SIDE }, () => [tf.randomUniform(a), tf.randomUniform(b)]);
    using run = compile(
      (pairs: tf.Tensor[][]) =>
        pairs.map(([x, y]) =>
          tf.matMul(x as tf.Tensor, y as tf.Tensor, transposed === 'a', transposed === 'b'),
        ),
      { xla, name: 'products' },
    );
    const times = repeat(WARM_UP + REPEATS, () => {
      const results = run(factors);
      results.at(-1)?.dataSync();
      tf.dispose(results);
    });
    return median(times.slice(WARM_UP)) / 1e3 / SIDE_BY_SIDE;
  });
}
