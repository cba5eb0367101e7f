import * as tf from '@tensorflow/tfjs';
import { readInstructionSets } from '../../common/machine.ts';
import type { Stored } from '../storage.ts';
import { boolAttribute, typeAttribute } from './attributes.ts';
import { isOnGpu, type TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';
import { DType } from './dtypes.ts';
import { type DefinedFunction, defineFunction, type TensorSpec } from './function.ts';
import { type Raw, type RawOp, rawOps, scratch } from './rawOps.ts';
import { cast, resourceOf } from './resource.ts';

/** The type in which products are computed; sums are always float32. */
export type Compute = 'float32' | 'bfloat16';

/**
 * Whether XLA multiplies fastest by a weight of 16 bits on a CPU, as measured in docs/benchmarks.md: for one row and
 * `x weight^T`, where it fuses the cast into the product and so reads the weight at memory speed. All else is faster
 * in the graph (oneDNN), in bf16 by far.
 */
const isForXla = (rows: number, transpose: boolean): boolean => rows === 1 && transpose;

/*
 * Without instructions for them, products in bf16 are slower than those of the widened weight: 33 instead of 84 GFLOP/s
 * at 322 rows, on a processor with AVX2.
 */
const instructions = readInstructionSets() ?? [];
const HAS_BFLOAT16_PRODUCTS = ['avx512_bf16', 'amx_bf16', 'bf16'].some((name) => instructions.includes(name));
const HAS_AVX512 = instructions.includes('avx512f');

/**
 * Whether a function of many products is faster as a graph than compiled by XLA, for all that XLA saves between them. So
 * it is on processors with AVX-512, where oneDNN multiplies up to twice as fast as XLA: the gradient of a model of width
 * 256 takes 0.40 instead of 0.49 s, of width 128 as long either way, of width 64 57 instead of 42 ms.
 */
export const isFasterAsGraph = (width: number): boolean => width > 128 && HAS_AVX512 && !isOnGpu();

/**
 * Whether what is multiplied is rounded to bfloat16: where that is asked for, and faster.
 */
export const roundsFactors = ({ binding }: TensorFlowBackend, compute: Compute): boolean =>
  compute === 'bfloat16' && (binding.isUsingGpuDevice() || HAS_BFLOAT16_PRODUCTS);

/* XLA fuses the cast into the product of a row only below 16 KiB of it: 3 instead of 14 GB/s at 11,008. */
const FUSED_WIDTH = 4096;
const isWideRow = (rows: number, width: number, transpose: boolean): boolean =>
  rows === 1 && transpose && width >= FUSED_WIDTH;

/*
 * XLA's product of few rows by a transposed float32 matrix packs the whole matrix first; of the matrix by few columns it
 * does not: 2.5 instead of 3.7 ms for 8 rows, and 2.9 instead of 4.7 ms for 16, by 16 matrices of [1024, 256].
 */
const [FEW_ROWS, MANY_ROWS] = [2, 32];

/**
 * Multiplies rows by a variable: `x weight^T`, or `x weight`, whichever way is fastest for their number. In a
 * function that XLA compiles as a whole there is but one way.
 *
 * @param x `[rows, in]`, or `[rows, out]` where the weight is not transposed
 * @param weight `[out, in]`
 */
export function multiplyByVariable(
  x: tf.Tensor2D,
  weight: Stored,
  transpose: boolean,
  compute: Compute,
): tf.Tensor {
  const resource = resourceOf(weight);
  const { backend } = resource;
  const { binding } = backend;
  const [rows, width] = x.shape;
  const isRounded = weight.dtype === 'bfloat16' && roundsFactors(backend, compute);
  const isAllXla = !binding.isUsingGpuDevice() && binding.trace?.xla === true;
  const isInGraph = !binding.isUsingGpuDevice() && binding.trace?.xla !== true;
  if (isRounded && isInGraph && isWideRow(rows, width, transpose)) {
    // A second row of zeros makes it oneDNN's product.
    return tf.tidy(
      () =>
        multiplyByVariable(tf.pad2d(x, [[0, 1], [0, 0]]), weight, transpose, compute).slice([0, 0], [1, -1]), // prettier-ignore
    );
  }
  return rawOps(backend, ({ op, constant }) => {
    const inputs = [backend.idOf(x), resource.readRaw(op)];
    const specs = inputs.map((id) => binding.describe(id));
    const isHalf = weight.dtype === 'bfloat16' || weight.dtype === 'float16';
    if (isHalf && isInGraph && isForXla(rows, transpose)) {
      const [result] = xlaProduct(backend, specs, transpose).call(inputs) as [TensorMetadata];
      return result.id;
    }
    const isFewRows = rows >= FEW_ROWS && rows <= MANY_ROWS;
    if (weight.dtype === 'float32' && isAllXla && transpose && isFewRows) {
      const columns = barrier(op, op('BatchMatMulV2', [boolAttribute('adj_y', true)], [...inputs].reverse()));
      return op('Transpose', [], [columns, constant(DType.INT32, [2], Int32Array.of(1, 0))]);
    }
    // On a CPU one row is not worth the rounding of x.
    const type = isRounded && (rows > 1 || binding.isUsingGpuDevice()) ? DType.BFLOAT16 : DType.FLOAT;
    const y = product(op, inputs, specs, type, transpose);
    // XLA would fuse what follows into the product of one row, and then no longer reads the weight at memory speed.
    return isHalf && isAllXla && isForXla(rows, transpose) ? barrier(op, y) : y;
  });
}

/** The product of two matrices whose elements are rounded to bfloat16, as float32. */
export function multiplyRounded(
  backend: TensorFlowBackend,
  a: tf.Tensor2D,
  b: tf.Tensor2D,
  transposeA: boolean,
  transposeB: boolean,
): tf.Tensor2D {
  const attributes = [boolAttribute('adj_x', transposeA), boolAttribute('adj_y', transposeB)];
  return rawOps(backend, ({ op }) => {
    const factors = [a, b].map((x) => cast(op, backend.idOf(x), DType.FLOAT, DType.BFLOAT16));
    return cast(op, op('BatchMatMulV2', attributes, factors), DType.BFLOAT16, DType.FLOAT);
  }) as tf.Tensor2D;
}

/* What XLA does not move or merge anything across. */
const barrier = (op: RawOp, x: number): number =>
  op('XlaOptimizationBarrier', [typeAttribute('T', [DType.FLOAT])], [x]);

/* Nodes for a product in `type`, with a float32 result. */
function product(
  op: RawOp,
  [x, weight]: readonly number[],
  [xSpec, weightSpec]: readonly TensorSpec[],
  type: number,
  transpose: boolean,
): number {
  const factors = [
    cast(op, x as number, (xSpec as TensorSpec).dtype, type),
    cast(op, weight as number, (weightSpec as TensorSpec).dtype, type),
  ];
  // By a transposed float32 weight BatchMatMulV2 is up to three times as fast as MatMul, though both are oneDNN's.
  const y = transpose
    ? op('BatchMatMulV2', [boolAttribute('adj_y', true)], factors)
    : op('MatMul', [], factors);
  return cast(op, y, type, DType.FLOAT);
}

/* A function for a float32 product of one row (see `isForXla`) that XLA compiles, made once for each pair of shapes. */
function xlaProduct(
  backend: TensorFlowBackend,
  specs: readonly TensorSpec[],
  transpose: boolean,
): DefinedFunction {
  const key = `product ${JSON.stringify(specs)} ${transpose}`;
  return backend.definedOnce(key, () =>
    defineFunction(backend, 'product', true, specs, (ids, symbolOf) =>
      scratch(backend, (raw) => {
        const [{ shape: [, width = 0] }] = specs as [TensorSpec]; // prettier-ignore
        const parts = partsOf(width);
        const id =
          parts > 1 ? wideRow(raw, ids, specs, parts) : product(raw.op, ids, specs, DType.FLOAT, transpose);
        return [symbolOf(id)];
      }),
    ),
  );
}

/* How many parts of equal size are narrow enough to be fused; 1 where there are none. */
function partsOf(width: number): number {
  let parts = 1;
  while (width / parts >= FUSED_WIDTH) parts *= 2;
  return width % parts === 0 ? parts : 1;
}

/*
 * A wide row: its parts' products by the weight's are added up term by term, which XLA fuses with the cast, and the terms by
 * a product with ones: 12 instead of 3 GB/s at 11,008.
 */
function wideRow(
  { op, constant }: Raw,
  [x, weight]: readonly number[],
  [xSpec, weightSpec]: readonly TensorSpec[],
  parts: number,
): number {
  const [out = 0, width = 0] = (weightSpec as TensorSpec).shape;
  const ints = (...values: number[]): number =>
    constant(DType.INT32, [values.length], Int32Array.from(values));
  const inParts = (id: number, { dtype }: TensorSpec, rows: number): number =>
    op('Reshape', [], [cast(op, id, dtype, DType.FLOAT), ints(rows, parts, width / parts)]);
  const terms = op(
    'Mul',
    [],
    [inParts(weight as number, weightSpec as TensorSpec, out), inParts(x as number, xSpec as TensorSpec, 1)],
  );
  const sums = barrier(op, op('Sum', [], [terms, ints(1)]));
  const ones = constant(DType.FLOAT, [1, width / parts], new Float32Array(width / parts).fill(1));
  return op('BatchMatMulV2', [boolAttribute('adj_y', true)], [ones, sums]);
}
