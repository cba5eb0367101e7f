import type { backend_util } from '@tensorflow/tfjs';
import { BackendError } from '../../common/errors.ts';
import { bytesPerElement, describe, DType, STRING_SLOT_BYTES } from './dtypes.ts';
import { type CApi, copyIn, copyOut, type Pointer } from './library.ts';

/** What tfjs hands over as a tensor's values. */
export type Values = backend_util.BackendValues | Uint32Array | readonly (string | Uint8Array)[];

/** Number of elements of a shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * Allocates a `TF_Tensor`, uninitialised.
 * @returns the tensor (`TF_DeleteTensor` frees it) and its size in bytes
 * @throws BackendError for a type without plain memory, or when memory is out
 */
export function allocateTensor(c: CApi, shape: readonly number[], dtype: number): [Pointer, number] {
  const width = bytesPerElement(dtype);
  if (width === undefined)
    throw new BackendError(`A tensor ${describe(dtype, shape)} cannot be made from values.`);
  const bytes = sizeOf(shape) * width;
  const tensor = c.TF_AllocateTensor(dtype, BigInt64Array.from(shape, BigInt), shape.length, bytes);
  if (tensor === 0) {
    throw new BackendError(
      `There is not enough memory for a tensor ${describe(dtype, shape)} (${bytes} bytes). ` +
        'Use a smaller batch, a shorter sequence or a smaller model.',
    );
  }
  return [tensor, bytes];
}

/**
 * Makes a `TF_Tensor` from tfjs's values.
 * @throws BackendError if there are fewer or more values than the shape has elements
 */
export function makeTensor(c: CApi, shape: readonly number[], dtype: number, values: Values): Pointer {
  const [tensor, byteLength] = allocateTensor(c, shape, dtype);
  if (dtype === DType.STRING) {
    writeStrings(c, c.TF_TensorData(tensor), values as readonly (string | Uint8Array)[]);
    return tensor;
  }
  const array = toTypedArray(dtype, values as ArrayLike<number>, sizeOf(shape));
  if (array.byteLength !== byteLength) {
    c.TF_DeleteTensor(tensor);
    throw new BackendError(
      `A tensor ${describe(dtype, shape)} needs ${byteLength} bytes of values, but got ${array.byteLength}.`,
    );
  }
  copyIn(c.TF_TensorData(tensor), array);
  return tensor;
}

/**
 * Copies the values of a `TF_Tensor` out in the arrays that tfjs uses: Float32Array (also for complex64, whose
 * parts alternate), Int32Array, Uint8Array, BigInt64Array, or for strings one Uint8Array an element.
 */
export function readTensor(c: CApi, tensor: Pointer, shape: readonly number[], dtype: number): Values {
  const address = c.TF_TensorData(tensor);
  if (dtype === DType.STRING) return readStrings(c, address, sizeOf(shape));
  const buffer = copyOut(address, c.TF_TensorByteSize(tensor)).buffer;
  switch (dtype) {
    case DType.FLOAT:
    case DType.COMPLEX64:
      return new Float32Array(buffer);
    case DType.INT32:
      return new Int32Array(buffer);
    case DType.INT64:
      return new BigInt64Array(buffer) as unknown as Int32Array;
    default:
      return new Uint8Array(buffer);
  }
}

/** Frees a `TF_Tensor` of `count` strings that `makeTensor` made, and the strings. */
export function freeStrings(c: CApi, tensor: Pointer, count: number): void {
  const address = c.TF_TensorData(tensor);
  for (let i = 0; i < count; i++) c.TF_StringDealloc(address + i * STRING_SLOT_BYTES);
  c.TF_DeleteTensor(tensor);
}

function toTypedArray(dtype: number, values: ArrayLike<number>, size: number): ArrayBufferView {
  switch (dtype) {
    case DType.FLOAT:
    case DType.COMPLEX64:
      return values instanceof Float32Array ? values : Float32Array.from(values);
    case DType.INT32:
      return values instanceof Int32Array ? values : Int32Array.from(values);
    case DType.INT64:
      // tfjs-node passes an int64 as two halves in an Int32Array (its int64_tensors.js).
      if (values instanceof Int32Array && values.length === 2 * size) return values;
      return BigInt64Array.from(values as ArrayLike<unknown> as bigint[], BigInt);
    case DType.UINT32:
      return values instanceof Uint32Array ? values : Uint32Array.from(values);
    case DType.BOOL:
    case DType.UINT8:
      return values instanceof Uint8Array ? values : Uint8Array.from(values);
    default:
      return values as unknown as ArrayBufferView;
  }
}

function writeStrings(c: CApi, address: Pointer, values: readonly (string | Uint8Array)[]): void {
  values.forEach((value, i) => {
    const slot = address + i * STRING_SLOT_BYTES;
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    c.TF_StringInit(slot);
    c.TF_StringCopy(slot, bytes, bytes.length);
  });
}

function readStrings(c: CApi, address: Pointer, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const slot = address + i * STRING_SLOT_BYTES;
    return copyOut(c.TF_StringGetDataPointer(slot), c.TF_StringGetSize(slot));
  });
}
