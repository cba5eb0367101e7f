import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';

/** A tensor in a file of goldens; NaN and the infinities are strings, as JSON has none. */
export interface Golden {
  shape: number[];
  dtype: 'float32' | 'int32' | 'bool';
  values: (number | 'NaN' | 'Infinity' | '-Infinity')[];
}

/** A line of test/goldens/runtime/ops.jsonl, which test/goldens/make/runtime_ops.py writes and explains. */
export interface OpCase {
  case: string;
  op: string;
  attributes: Attributes;
  inputs: Golden[];
  outputs: Golden[];
  ulps: number;
  /** absent where no gradient flows */
  dy?: Golden[];
  gradients?: Golden[];
  gradientUlps?: number;
}

/* The attributes of all ops together: each takes its own of them. */
interface Attributes {
  /** a reduction takes several too */
  axis: number;
  axes: number[];
  batchDims: number;
  begin: number[];
  depth: number;
  dtype: 'float32' | 'int32' | 'bool';
  end: number[];
  equation: string;
  exclusive: boolean;
  k: number;
  keepDims: boolean;
  max: number;
  min: number;
  num: number;
  off: number;
  on: number;
  ord: 'euclidean' | 1;
  paddings: [number, number][];
  perm: number[];
  reps: number[];
  reverse: boolean;
  segments: number;
  shape: number[];
  size: number[];
  sizes: number[] | number;
  start: number;
  step: number;
  stop: number;
  stride: number;
  strides: number[];
  transposeA: boolean;
  transposeB: boolean;
  value: number;
}

type Op = (inputs: tf.Tensor[], attributes: Attributes) => tf.Tensor | tf.Tensor[];

type Unary = (x: tf.Tensor) => tf.Tensor;
type Binary = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
type Ternary = (a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) => tf.Tensor;
type Reduction = (x: tf.Tensor, axis: number, keepDims: boolean) => tf.Tensor;

const of1 =
  (op: Unary): Op =>
  ([x]) =>
    op(x as tf.Tensor);
const of2 =
  (op: Binary): Op =>
  ([a, b]) =>
    op(a as tf.Tensor, b as tf.Tensor);
const of3 =
  (op: Ternary): Op =>
  ([a, b, c]) =>
    op(a as tf.Tensor, b as tf.Tensor, c as tf.Tensor);
const reduced =
  (op: Reduction): Op =>
  ([x], { axis, keepDims }) =>
    op(x as tf.Tensor, axis, keepDims);
/** An op of one tensor and attributes. */
const with1 =
  (op: (x: tf.Tensor, attributes: Attributes) => tf.Tensor | tf.Tensor[]): Op =>
  ([x], attributes) =>
    op(x as tf.Tensor, attributes);
/** An op of two tensors and attributes. */
const with2 =
  (op: (a: tf.Tensor, b: tf.Tensor, attributes: Attributes) => tf.Tensor): Op =>
  ([a, b], attributes) =>
    op(a as tf.Tensor, b as tf.Tensor, attributes);

const silu: Unary = (x) => tf.mul(x, tf.sigmoid(x));

const layerNorm: Ternary = (x, weight, bias) => {
  const { mean, variance } = tf.moments(x, -1, true);
  return x.sub(mean).mul(variance.add(1e-6).rsqrt()).mul(weight).add(bias);
};

const rmsNorm: Binary = (x, weight) => x.mul(x.square().mean(-1, true).add(1e-6).rsqrt()).mul(weight);

const rotary: Ternary = (x, cos, sin) => {
  const [a, b] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
  return x.mul(cos).add(tf.concat([b.neg(), a], -1).mul(sin));
};

const attention: Ternary = (q, k, v) => {
  const scores = tf.matMul(q, k, false, true).div(Math.sqrt(q.shape.at(-1) as number));
  const causal = tf.linalg.bandPart(tf.ones(scores.shape.slice(-2)), -1, 0).cast('bool');
  return tf.matMul(tf.softmax(tf.where(causal, scores, tf.scalar(-1e9))), v);
};

const crossEntropy: Binary = (logits, ids) =>
  tf
    .logSoftmax(logits)
    .mul(tf.oneHot(ids, logits.shape.at(-1) as number))
    .sum(-1)
    .neg();

const clippedRatio: Binary = (ratio, advantage) =>
  tf.minimum(ratio.mul(advantage), ratio.clipByValue(0.8, 1.2).mul(advantage));

const straightThrough = tf.customGrad((x) => ({
  value: tf.round(x as tf.Tensor),
  gradFunc: (dy: tf.Tensor) => dy,
}));

const adam: Op = ([p, g, m, v]) => {
  const [rate, decay] = [1e-3, 0.1];
  const [param, gradient] = [p as tf.Tensor, g as tf.Tensor];
  const first = tf.add(tf.mul(m as tf.Tensor, 0.9), gradient.mul(0.1));
  const second = tf.add(tf.mul(v as tf.Tensor, 0.999), gradient.square().mul(0.001));
  const corrected = second.div(1 - 0.999 ** 3).sqrt();
  const step = first.div(1 - 0.9 ** 3).div(corrected.add(1e-8));
  return [param.mul(1 - rate * decay).sub(step.mul(rate)), first, second];
};

/** The functions that the cases run, by the name that the goldens give. */
export const OPS: Record<string, Op> = {
  ...mapped(of1, {
    abs: tf.abs, ceil: tf.ceil, cos: tf.cos, erf: tf.erf, exp: tf.exp, expm1: tf.expm1, floor: tf.floor,
    isFinite: tf.isFinite, isInf: tf.isInf, isNaN: tf.isNaN, log: tf.log, log1p: tf.log1p,
    logicalNot: tf.logicalNot, logSigmoid: tf.logSigmoid, neg: tf.neg, onesLike: tf.onesLike,
    reciprocal: tf.reciprocal, relu: tf.relu, round: tf.round, rsqrt: tf.rsqrt, sigmoid: tf.sigmoid,
    sign: tf.sign, sin: tf.sin, softplus: tf.softplus, sqrt: tf.sqrt, square: tf.square, step: tf.step,
    tanh: tf.tanh, zerosLike: tf.zerosLike,
    softmax: tf.softmax, logSoftmax: tf.logSoftmax, silu, straightThrough,
    gelu: (x) => x.mul(x.div(Math.SQRT2).erf().add(1)).mul(0.5),
    bandPart: (x) => tf.linalg.bandPart(x, -1, 0),
    whereGreater: (x) => tf.where(tf.greater(x, 0), x, tf.zerosLike(x)),
  }), // prettier-ignore
  ...mapped(of2, {
    add: tf.add, sub: tf.sub, mul: tf.mul, div: tf.div, floorDiv: tf.floorDiv, mod: tf.mod,
    pow: tf.pow, maximum: tf.maximum, minimum: tf.minimum, squaredDifference: tf.squaredDifference,
    equal: tf.equal, notEqual: tf.notEqual, greater: tf.greater, greaterEqual: tf.greaterEqual,
    less: tf.less, lessEqual: tf.lessEqual,
    logicalAnd: tf.logicalAnd, logicalOr: tf.logicalOr, logicalXor: tf.logicalXor,
    gatherND: tf.gatherND, rmsNorm, crossEntropy, clippedRatio,
    globalNorm: (a, b) => a.square().sum().add(b.square().sum()).sqrt(),
    klEstimate: (a, b) => b.sub(a).exp().sub(b.sub(a)).sub(1),
  }), // prettier-ignore
  ...mapped(of3, {
    where: tf.where, tensorScatterUpdate: tf.tensorScatterUpdate, layerNorm, rotary, attention,
  }), // prettier-ignore
  ...mapped(reduced, {
    sum: tf.sum, mean: tf.mean, max: tf.max, min: tf.min, prod: tf.prod, any: tf.any, all: tf.all,
    logSumExp: tf.logSumExp,
  }), // prettier-ignore
  ...mapped(with1, {
    argMax: (x, { axis }) => tf.argMax(x, axis),
    argMin: (x, { axis }) => tf.argMin(x, axis),
    broadcastByOnes: (x, { shape }) => x.mul(tf.ones(shape)),
    broadcastTo: (x, { shape }) => tf.broadcastTo(x, shape),
    cast: (x, { dtype }) => tf.cast(x, dtype),
    clipByValue: (x, { min, max }) => tf.clipByValue(x, min, max),
    cumsum: (x, { axis, exclusive, reverse }) => tf.cumsum(x, axis, exclusive, reverse),
    expandDims: (x, { axis }) => tf.expandDims(x, axis),
    moments: (x, { axis }) => {
      const { mean, variance } = tf.moments(x, axis);
      return [mean, variance];
    },
    norm: (x, { ord, axis }) => tf.norm(x, ord, axis),
    oneHot: (x, { depth, on, off }) => tf.oneHot(x, depth, on, off),
    pad: (x, { paddings, value }) => tf.pad(x, paddings, value),
    reshape: (x, { shape }) => tf.reshape(x, shape),
    reverse: (x, { axes }) => tf.reverse(x, axes),
    slice: (x, { begin, size }) => tf.slice(x, begin, size),
    split: (x, { sizes, axis }) => tf.split(x, sizes, axis),
    squeeze: (x, { axes }) => tf.squeeze(x, axes),
    stridedSlice: (x, { begin, end, strides }) => tf.stridedSlice(x, begin, end, strides),
    tile: (x, { reps }) => tf.tile(x, reps),
    topkIndices: (x, { k }) => tf.topk(x, k).indices,
    topkValues: (x, { k }) => tf.topk(x, k).values,
    transpose: (x, { perm }) => tf.transpose(x, perm),
    unstack: (x, { axis }) => tf.unstack(x, axis),
  }),
  ...mapped(with2, {
    conv2d: (x, filter, { stride }) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, stride, 'valid'),
    einsum: (a, b, { equation }) => tf.einsum(equation, a, b),
    gather: (x, indices, { axis, batchDims }) => tf.gather(x, indices, axis, batchDims),
    matMul: (a, b, { transposeA, transposeB }) => tf.matMul(a, b, transposeA, transposeB),
    scatterND: (indices, updates, { shape }) => tf.scatterND(indices, updates, shape),
    unsortedSegmentSum: (x, ids, { segments }) => tf.unsortedSegmentSum(x, ids as tf.Tensor1D, segments),
  }),
  adam,
  concat: (xs, { axis }) => tf.concat(xs, axis),
  stack: (xs, { axis }) => tf.stack(xs, axis),
  swiglu: ([x, gate, up, down]) => {
    const times: Binary = (a, weight) => tf.matMul(a, weight, false, true);
    const [input, w] = [x as tf.Tensor, [gate, up, down] as [tf.Tensor, tf.Tensor, tf.Tensor]];
    return times(silu(times(input, w[0])).mul(times(input, w[1])), w[2]);
  },
  eye: (_, { num }) => tf.eye(num),
  fill: (_, { shape, value, dtype }) => tf.fill(shape, value, dtype),
  linspace: (_, { start, stop, num }) => tf.linspace(start, stop, num),
  range: (_, { start, stop, step, dtype }) => tf.range(start, stop, step, dtype as 'int32'),
};

function mapped<F>(wrap: (op: F) => Op, ops: Record<string, F>): Record<string, Op> {
  return Object.fromEntries(Object.entries(ops).map(([name, op]) => [name, wrap(op)]));
}

/** The cases, in the order of the file. */
export function readCases(): OpCase[] {
  const file = new URL('../goldens/runtime/ops.jsonl', import.meta.url);
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as OpCase);
}

/** A golden as a tensor. */
export function toTensor({ shape, dtype, values }: Golden): tf.Tensor {
  const numbers = values.map(Number);
  return tf.tensor(dtype === 'float32' ? Float32Array.from(numbers) : numbers, shape, dtype);
}

/** What a case's function gives. */
export const forward = ({ op, attributes }: OpCase, inputs: tf.Tensor[]): tf.Tensor[] =>
  [(OPS[op] as Op)(inputs, attributes)].flat();

/** The vector-Jacobian product of a case's function: one gradient for each float input. */
export function gradients(item: OpCase, inputs: tf.Tensor[], dy: tf.Tensor[]): tf.Tensor[] {
  const isFloat = (x: tf.Tensor): boolean => x.dtype === 'float32';
  const inner = (...floats: tf.Tensor[]): tf.Tensor => {
    const rest = [...floats];
    const outputs = forward(
      item,
      inputs.map((x) => (isFloat(x) ? (rest.shift() as tf.Tensor) : x)),
    );
    return tf.addN(outputs.map((output, i) => output.mul(dy[i] as tf.Tensor).sum()));
  };
  return tf.grads(inner)(inputs.filter(isFloat));
}
