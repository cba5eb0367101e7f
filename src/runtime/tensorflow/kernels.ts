/*
 * Kernels in place of those of tfjs-node that TensorFlow 2.21 runs wrongly or not at all, that cannot be traced,
 * or that tfjs-node does not have.
 */
import * as tf from '@tensorflow/tfjs';
import {
  type Attribute,
  AttrType,
  boolAttribute as bool,
  intAttribute as int,
  stringAttribute as text,
  typeAttribute,
} from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';
import { ON_CPU, runOnCpu } from './cpuKernels.ts';
import { DType, FROM_TFJS } from './dtypes.ts';
import { BACKEND_NAME } from './tfjsNode.ts';

type Inputs = Record<string, tf.Tensor>;
type Attributes = Record<string, unknown>;
type Kernel = (inputs: Inputs, backend: TensorFlowBackend, attributes: Attributes) => tf.Tensor | tf.Tensor[];

const type = (name: string, dtype: tf.DataType): Attribute => typeAttribute(name, FROM_TFJS[dtype]);

/* An input that the kernel's caller always gives. */
const given = (inputs: Inputs, name: string): tf.Tensor => inputs[name] as tf.Tensor;
/* tf.cast runs an op even where there is nothing to cast. */
const toFloat = (x: tf.Tensor): tf.Tensor => (x.dtype === 'float32' ? x : tf.cast(x, 'float32'));
type TwoResults = [TensorMetadata, TensorMetadata];
const int32 = (values: number | readonly number[]): tf.Tensor => tf.tensor(values, undefined, 'int32');

const KERNELS: Record<string, Kernel> = {
  BatchMatMul: (inputs, backend, { transposeA, transposeB }) => {
    const factors = [given(inputs, 'a'), given(inputs, 'b')] as const;
    return transposeA === true && isSlowTransposed(factors[0], backend)
      ? transposedProduct(...factors, transposeB as boolean, backend)
      : product(...factors, transposeA as boolean, transposeB as boolean, backend);
  },
  // tfjs-node reads the indices back to check them, which a trace cannot: there TensorFlow does, XLA clamps them.
  GatherV2: (inputs, backend, { axis, batchDims }) => {
    const [x, indices] = [given(inputs, 'x'), given(inputs, 'indices')];
    if (backend.binding.trace === undefined) assertIndices(indices, x.shape[axis as number] as number);
    tf.backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis as number, batchDims as number);
    const attributes = [
      int('batch_dims', batchDims as number),
      type('Tparams', x.dtype),
      type('Tindices', indices.dtype),
      type('Taxis', 'int32'),
    ];
    return backend.executeSingleOutput('GatherV2', attributes, [x, indices, int32(axis as number)]);
  },
  // tfjs-node disposes the caller's tensor where it is int32.
  Exp: (inputs, backend) => backend.executeSingleInput('Exp', toFloat(given(inputs, 'x'))),
  // tfjs-node takes the mean of integers in integers.
  Mean: (inputs, backend, { axis, keepDims }) => {
    const x = toFloat(given(inputs, 'x'));
    const axes = tf.util.parseAxisParam(axis as number | number[], x.shape);
    return backend.executeSingleOutput(
      'Mean',
      backend.createReductionOpAttrs(x, keepDims as boolean),
      [x, tf.tensor1d(axes, 'int32')],
    ); // prettier-ignore
  },
  // Round of int32 gives zeros on TensorFlow's CPU.
  Round: (inputs, backend) => {
    const x = given(inputs, 'x');
    return backend.executeSingleInput(x.dtype === 'float32' ? 'Round' : 'Identity', x);
  },
  // tfjs defines the sign of NaN as 0.
  Sign: (inputs, backend) => {
    const x = given(inputs, 'x');
    const sign = backend.executeSingleInput('Sign', x);
    return x.dtype === 'float32' ? tf.where(tf.isNaN(x), tf.zerosLike(x), sign) : sign;
  },
  BitwiseAnd: (inputs, backend) => {
    const [a, b] = [given(inputs, 'a'), given(inputs, 'b')];
    return backend.executeSingleOutput('BitwiseAnd', [type('T', a.dtype)], [a, b]);
  },
  DenseBincount: (inputs, backend, { size, binaryOutput }) => {
    const [x, weights] = [given(inputs, 'x'), given(inputs, 'weights')];
    const attributes = [
      type('Tidx', x.dtype),
      type('T', weights.dtype),
      bool('binary_output', binaryOutput === true),
    ];
    return backend.executeSingleOutput('DenseBincount', attributes, [x, int32(size as number), weights]);
  },
  SearchSorted: (inputs, backend, { side }) => {
    const [sorted, values] = [given(inputs, 'sortedSequence'), given(inputs, 'values')];
    const op = side === 'left' ? 'LowerBound' : 'UpperBound';
    return backend.executeSingleOutput(
      op,
      [type('T', values.dtype), type('out_type', 'int32')],
      [sorted, values],
    );
  },
  SparseSegmentMean: (inputs, backend) => sparseSegment('SparseSegmentMean', inputs, backend),
  SparseSegmentSum: (inputs, backend) => sparseSegment('SparseSegmentSum', inputs, backend),
  MaxPoolWithArgmax: (inputs, backend, { filterSize, strides, pad, includeBatchInIndex }) => {
    const x = given(inputs, 'x') as tf.Tensor4D;
    const info = tf.backend_util.computePool2DInfo(
      x.shape,
      filterSize as number,
      strides as number,
      [1, 1],
      pad as 'same',
    ); // prettier-ignore
    const attributes = [
      int('ksize', [1, info.filterHeight, info.filterWidth, 1]),
      int('strides', [1, info.strideHeight, info.strideWidth, 1]),
      text('padding', pad === 0 ? 'VALID' : String(pad).toUpperCase()),
      bool('include_batch_in_index', includeBatchInIndex === true),
      typeAttribute('Targmax', DType.INT64),
      type('T', x.dtype),
    ];
    const { binding } = backend;
    const [pooled, argmax] = binding.executeOp(
      'MaxPoolWithArgmax',
      attributes,
      [backend.idOf(x)],
      2,
    ) as TwoResults;
    const cast = [typeAttribute('SrcT', DType.INT64), type('DstT', 'int32')];
    const [argmaxInt32] = binding.executeOp('Cast', cast, [argmax.id], 1) as [TensorMetadata];
    binding.deleteTensor(argmax.id);
    return [backend.createOutputTensor(pooled), backend.createOutputTensor(argmaxInt32)];
  },
  Transform: (inputs, backend, { interpolation, fillMode, fillValue, outputShape }) => {
    const [image, transforms] = [given(inputs, 'image'), given(inputs, 'transforms')];
    const size = (outputShape as number[] | undefined) ?? image.shape.slice(1, 3);
    const attributes = [
      type('dtype', image.dtype),
      text('interpolation', (interpolation as string).toUpperCase()),
      text('fill_mode', (fillMode as string).toUpperCase()),
    ];
    const rest = [int32(size), tf.scalar(fillValue as number)];
    return backend.executeSingleOutput('ImageProjectiveTransformV3', attributes, [
      image,
      transforms,
      ...rest,
    ]);
  },
  // TensorFlow does not order strings.
  Less: compare('Less'),
  LessEqual: compare('LessEqual'),
  Greater: compare('Greater'),
  GreaterEqual: compare('GreaterEqual'),
  // Indices of rank 1 are one index each in tfjs, and one index altogether in TensorFlow.
  ScatterNd: (inputs, backend, { shape }) => {
    const [indices, updates] = [given(inputs, 'indices'), given(inputs, 'updates')];
    const rows = indices.rank > 1 ? indices : tf.reshape(indices, [-1, 1]);
    const attributes = [type('T', updates.dtype), type('Tindices', 'int32')];
    return backend.executeSingleOutput('ScatterNd', attributes, [rows, updates, int32(shape as number[])]);
  },
  // TensorFlow has these not for integers.
  LeakyRelu: (inputs, backend, { alpha }) => {
    const x = toFloat(given(inputs, 'x'));
    const attributes = [
      { name: 'alpha', type: AttrType.FLOAT, value: alpha as number },
      type('T', 'float32'),
    ];
    return backend.executeSingleOutput('LeakyRelu', attributes, [x]);
  },
  Step: (inputs, _, { alpha }) => {
    const x = given(inputs, 'x');
    const step = tf.where(
      tf.greater(x, 0),
      tf.onesLike(x),
      tf.fill(x.shape, alpha as number, x.dtype as 'float32'),
    );
    return x.dtype === 'float32' ? tf.where(tf.isNaN(x), x, step) : step;
  },
  // Nor this for bool.
  Diag: (inputs, backend) => {
    const x = given(inputs, 'x');
    if (x.dtype !== 'bool') return backend.executeSingleInput('Diag', x);
    return tf.cast(backend.executeSingleInput('Diag', tf.cast(x, 'int32')), 'bool');
  },
  ...Object.fromEntries(
    ON_CPU.map((name): [string, Kernel] => [
      name,
      (inputs, backend, attributes) => runOnCpu(name, inputs, attributes, backend),
    ]),
  ),
};

const product = (
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA: boolean,
  transposeB: boolean,
  backend: TensorFlowBackend,
): tf.Tensor =>
  backend.executeSingleOutput(
    'BatchMatMulV2',
    [type('T', a.dtype), bool('adj_x', transposeA), bool('adj_y', transposeB)],
    [a, b],
  );

/*
 * XLA has no fast product on the CPU for a transposed first factor: [1024, 1024]^T [1024, 256] takes 4.6 ms, and 2.8 ms
 * where it is transposed before. Its transpose is slow as well, so that the narrower factor is taken, if need be by
 * a^T b = (b^T a)^T: [508, 2048]^T [508, 64] in 1.6 instead of 2.8 ms. Not so in a batch: XLA may want to lay out its result
 * transposed, and then ends the process (dot_op_emitter.cc, IsMonotonicWithDim0Major). Barriers keep XLA from putting both
 * together again.
 */
function transposedProduct(
  a: tf.Tensor,
  b: tf.Tensor,
  transposeB: boolean,
  backend: TensorFlowBackend,
): tf.Tensor {
  const times = (x: tf.Tensor, y: tf.Tensor): tf.Tensor =>
    product(apart(transposed(x), backend), y, false, transposeB, backend);
  const isWider = a.rank === 2 && !transposeB && (a.shape.at(-1) as number) > (b.shape.at(-1) as number);
  return isWider ? transposed(apart(times(b, a), backend)) : times(a, b);
}

const isSlowTransposed = (a: tf.Tensor, { binding }: TensorFlowBackend): boolean =>
  binding.trace?.xla === true && !binding.isUsingGpuDevice() && a.dtype === 'float32';

function transposed(x: tf.Tensor): tf.Tensor {
  const axes = x.shape.map((_, i) => i);
  return tf.transpose(x, [...axes.slice(0, -2), ...axes.slice(-2).reverse()]);
}

const apart = (x: tf.Tensor, backend: TensorFlowBackend): tf.Tensor =>
  backend.executeSingleOutput('XlaOptimizationBarrier', [typeAttribute('T', [DType.FLOAT])], [x]);

function assertIndices(indices: tf.Tensor, size: number): void {
  for (const index of indices.dataSync()) {
    tf.util.assert(
      index >= 0 && index < size,
      () => `GatherV2: the index value ${index} is not in [0, ${size - 1}]`,
    ); // prettier-ignore
  }
}

function sparseSegment(op: string, inputs: Inputs, backend: TensorFlowBackend): tf.Tensor {
  const [data, indices, ids] = [given(inputs, 'data'), given(inputs, 'indices'), given(inputs, 'segmentIds')];
  const attributes = [type('T', data.dtype), type('Tidx', indices.dtype), type('Tsegmentids', ids.dtype)];
  return backend.executeSingleOutput(op, attributes, [data, indices, ids]);
}

function compare(op: string): Kernel {
  return (inputs, backend, attributes) => {
    const [a, b] = [given(inputs, 'a'), given(inputs, 'b')];
    if (a.dtype === 'string') return runOnCpu(op, inputs, attributes, backend);
    const types = [type('T', tf.backend_util.upcastType(a.dtype, b.dtype))];
    return backend.executeSingleOutput(op, types, [a, b]);
  };
}

let replaced = false;

/** Puts the kernels of this file in the place of tfjs-node's, once in a process: tfjs's registry is global. */
export function replaceKernels(): void {
  if (replaced) return;
  replaced = true;
  const registered = new Set(tf.getKernelsForBackend(BACKEND_NAME).map(({ kernelName }) => kernelName));
  for (const [kernelName, kernel] of Object.entries(KERNELS)) {
    if (registered.has(kernelName)) tf.unregisterKernel(kernelName, BACKEND_NAME);
    tf.registerKernel({
      kernelName,
      backendName: BACKEND_NAME,
      kernelFunc: ({ inputs, backend, attrs }) =>
        tf.tidy(() => kernel(inputs as Inputs, backend as unknown as TensorFlowBackend, attrs ?? {})),
    });
  }
}
