import type * as tf from '@tensorflow/tfjs';
import { GROUPS, PARITY, ROTATIONS } from '../../common/threefry.ts';
import { typeAttribute } from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import { DType } from './dtypes.ts';
import { defineFunction } from './function.ts';
import { type Raw, rawOps, scratch } from './rawOps.ts';
import { cast } from './resource.ts';

/**
 * `threefry` on the device: a function that XLA compiles (a graph would go over the memory a hundred times), called
 * from wherever tfjs stands: eagerly, or from a trace.
 *
 * @param key_R2 int32
 * @returns `[rows, columns]`
 */
export function threefryOnDevice(
  backend: TensorFlowBackend,
  key_R2: tf.Tensor2D,
  columns: number,
): tf.Tensor {
  const [rows] = key_R2.shape;
  const key = backend.idOf(key_R2);
  if (backend.binding.trace?.xla === true) return rawOps(backend, (raw) => uniform(raw, key, rows, columns));
  const definition = backend.definedOnce(`threefry ${rows} ${columns}`, () =>
    defineFunction(
      backend,
      'threefry',
      true,
      [{ shape: [rows, 2], dtype: DType.INT32 }],
      ([input], symbolOf) =>
        scratch(backend, (raw) => [symbolOf(uniform(raw, input as number, rows, columns))]),
    ),
  );
  return definition.call([key]).map((result) => backend.createOutputTensor(result))[0] as tf.Tensor;
}

type Binary = (a: number, b: number) => number;

/* The same steps as `firstWord` in ../threefry.ts, on uint32 of shape [rows, columns]. */
function uniform(raw: Raw, key_R2: number, rows: number, columns: number): number {
  const { op } = raw;
  const word = (value: number): number => constant(raw, [], [value]);
  const binary = (name: string, dtype: number): Binary => {
    const attributes = [typeAttribute('T', dtype)];
    return (a, b) => op(name, attributes, [a, b]);
  };
  const add = binary('AddV2', DType.UINT32);
  const xor = binary('BitwiseXor', DType.UINT32);
  const shiftLeft = binary('LeftShift', DType.UINT32);
  const shiftRight = binary('RightShift', DType.UINT32);
  // The two parts have no bit in common, so adding them is or-ing them.
  const rotate = (x: number, by: number): number => add(shiftLeft(x, word(by)), shiftRight(x, word(32 - by)));

  const [k0_R1, k1_R1] = splitKeys(raw, key_R2, rows) as [number, number];
  const schedule = [k0_R1, k1_R1, xor(xor(k0_R1, k1_R1), word(PARITY))];
  let x0 = add(constant(raw, [1, columns], range(columns)), k0_R1);
  let x1 = add(constant(raw, [1, columns], new Uint32Array(columns)), k1_R1);
  for (let group = 0; group < GROUPS; group++) {
    for (let i = 0; i < 4; i++) {
      x0 = add(x0, x1);
      x1 = xor(rotate(x1, ROTATIONS[(4 * group + i) % 8] as number), x0);
    }
    x0 = add(x0, schedule[(group + 1) % 3] as number);
    x1 = add(add(x1, schedule[(group + 2) % 3] as number), word(group + 1));
  }
  const steps = cast(op, shiftRight(x0, word(9)), DType.UINT32, DType.FLOAT);
  const float = (value: number): number => raw.constant(DType.FLOAT, [], Float32Array.of(value));
  return binary('Mul', DType.FLOAT)(binary('AddV2', DType.FLOAT)(steps, float(0.5)), float(2 ** -23));
}

/* The two words of each row's key, as uint32 [rows, 1]. */
function splitKeys({ op, constant }: Raw, key_R2: number, rows: number): number[] {
  const types = [typeAttribute('T', DType.INT32), typeAttribute('type', DType.UINT32)];
  const keys = op('Bitcast', types, [key_R2]);
  const slice = [typeAttribute('T', DType.UINT32), typeAttribute('Index', DType.INT32)];
  const size = constant(DType.INT32, [2], Int32Array.of(rows, 1));
  return [0, 1].map((column) =>
    op('Slice', slice, [keys, constant(DType.INT32, [2], Int32Array.of(0, column)), size]),
  );
}

const range = (length: number): Uint32Array => Uint32Array.from({ length }, (_, i) => i);

const constant = (raw: Raw, shape: readonly number[], values: ArrayLike<number>): number =>
  raw.constant(DType.UINT32, shape, Uint32Array.from(values));
