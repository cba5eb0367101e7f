import * as tf from '@tensorflow/tfjs';
import { readRange } from '../common/files.ts';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './halves.ts';
import type { VariableDType, VariableStorage } from './storage.ts';

const BYTES: Record<VariableDType, number> = { float32: 4, bfloat16: 2, float16: 2, int32: 4 };

/** A variable as a plain tensor, for backends without TensorFlow: every update makes it anew. */
export class PlainStorage implements VariableStorage {
  private constructor(
    private tensor: tf.Tensor,
    private readonly dtype: VariableDType,
  ) {}

  static fromTensor(value: tf.Tensor, dtype: VariableDType): PlainStorage {
    return new PlainStorage(keepRounded(value, dtype), dtype);
  }

  static fromFile(
    path: string,
    offset: number,
    shape: readonly number[],
    dtype: VariableDType,
  ): PlainStorage {
    const bytes = new Uint8Array(tf.util.sizeFromShape([...shape]) * BYTES[dtype]);
    readRange(path, offset, bytes);
    const tensor = tf.tensor(
      decode(bytes.buffer, dtype),
      [...shape],
      dtype === 'int32' ? 'int32' : 'float32',
    );
    return new PlainStorage(tf.keep(tensor), dtype);
  }

  read(): tf.Tensor {
    return this.tensor.clone();
  }

  gather(indices: tf.Tensor): tf.Tensor {
    return tf.gather(this.tensor, indices);
  }

  assign(value: tf.Tensor): void {
    const before = this.tensor;
    this.tensor = keepRounded(value, this.dtype);
    before.dispose();
  }

  assignSlice(value: tf.Tensor, begin: readonly number[] | tf.Tensor1D): void {
    const starts = begin instanceof tf.Tensor ? [...begin.dataSync()] : begin;
    const { shape, dtype } = this.tensor;
    const data = this.tensor.dataSync().slice();
    copySlice(value.dataSync(), value.shape, data, shape, starts);
    tf.tidy(() => {
      this.assign(tf.tensor(data, shape, dtype));
    });
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

function keepRounded(value: tf.Tensor, dtype: VariableDType): tf.Tensor {
  return tf.tidy(() => {
    if (dtype === 'int32') return tf.keep(value.toInt());
    if (dtype === 'float32') return tf.keep(value.toFloat());
    const values = value.toFloat().dataSync<'float32'>();
    const rounded = dtype === 'bfloat16' ? fromBfloat16(toBfloat16(values)) : fromFloat16(toFloat16(values));
    return tf.keep(tf.tensor(rounded, value.shape, 'float32'));
  });
}

function decode(buffer: ArrayBuffer, dtype: VariableDType): Float32Array | Int32Array {
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer);
    case 'int32':
      return new Int32Array(buffer);
    case 'bfloat16':
      return fromBfloat16(new Uint16Array(buffer));
    case 'float16':
      return fromFloat16(new Uint16Array(buffer));
  }
}

/* Copies `source` into `target` from `begin` on, row by row of the last dimension. */
function copySlice(
  source: ArrayLike<number>,
  size: readonly number[],
  target: Float32Array | Int32Array | Uint8Array,
  shape: readonly number[],
  begin: readonly number[],
): void {
  const rank = shape.length;
  const width = rank === 0 ? 1 : (size[rank - 1] as number);
  for (let from = 0; from < source.length; from += width) {
    let rest = from / width;
    let to = rank === 0 ? 0 : (begin[rank - 1] as number);
    let stride = rank === 0 ? 1 : (shape[rank - 1] as number);
    for (let axis = rank - 2; axis >= 0; axis--) {
      const length = size[axis] as number;
      to += ((begin[axis] as number) + (rest % length)) * stride;
      rest = Math.floor(rest / length);
      stride *= shape[axis] as number;
    }
    for (let i = 0; i < width; i++) target[to + i] = source[from + i] as number;
  }
}
