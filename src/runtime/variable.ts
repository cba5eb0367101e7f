import type * as tf from '@tensorflow/tfjs';
import { ConfigError } from '../common/errors.ts';
import { PlainStorage } from './plainStorage.ts';
import type { Stored, VariableDType, VariableStorage } from './storage.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { ResourceStorage } from './tensorflow/resource.ts';

export interface VariableOptions {
  /** default: float32, or int32 for an int32 tensor */
  dtype?: VariableDType;
  /** for messages */
  name?: string;
}

/** A byte range of a file that holds a variable's elements, row-major and little-endian. */
export interface FileRange {
  /** in bytes from the file's beginning */
  offset: number;
  shape: readonly number[];
  dtype: VariableDType;
  name?: string;
}

let unnamed = 0;

/**
 * Memory with one owner that compiled functions read and update in place: parameters, optimiser moments, KV
 * caches. On TensorFlow it is a resource variable; reads and writes happen in the order in which they are called,
 * also inside of a compiled function. On other backends it holds a tensor.
 */
export class Variable implements Stored, Disposable {
  private constructor(
    readonly shape: readonly number[],
    readonly dtype: VariableDType,
    readonly name: string,
    /** for the runtime only */
    readonly storage: VariableStorage,
  ) {}

  /**
   * Makes a variable with the value of a tensor, which stays the caller's.
   * @param value float32 or int32
   */
  static fromTensor(
    value: tf.Tensor,
    { dtype, name = `variable_${unnamed++}` }: VariableOptions = {},
  ): Variable {
    const kept = dtype ?? (value.dtype === 'int32' ? 'int32' : 'float32');
    const backend = currentTensorFlow();
    const storage =
      backend === undefined
        ? PlainStorage.fromTensor(value, kept)
        : ResourceStorage.fromTensor(backend, value, kept, name);
    return new Variable(value.shape, kept, name, storage);
  }

  /**
   * Makes a variable from a range of a file, read straight into the backend's memory.
   * @throws CheckpointError if the file is not there or ends before the range
   */
  static fromFile(path: string, { offset, shape, dtype, name = path }: FileRange): Variable {
    const backend = currentTensorFlow();
    const storage =
      backend === undefined
        ? PlainStorage.fromFile(path, offset, shape, dtype)
        : ResourceStorage.fromFile(backend, path, offset, shape, dtype, name);
    return new Variable([...shape], dtype, name, storage);
  }

  /** The same variable, reached in another way: by the input of a trace that stands for it. */
  withStorage(storage: VariableStorage): Variable {
    return new Variable(this.shape, this.dtype, this.name, storage);
  }

  /** The value now, as a float32 (or int32) tensor that later writes do not change. */
  read(): tf.Tensor {
    return this.storage.read();
  }

  /**
   * Rows of the value now, without reading all of it: those of an embedding, say. No gradient flows.
   *
   * @param indices int32, of any shape, from 0 to the number of rows - 1
   * @returns `[...indices.shape, ...shape.slice(1)]`, float32 (or int32)
   */
  gather(indices: tf.Tensor): tf.Tensor {
    return this.storage.gather(indices);
  }

  /**
   * Sets the whole value; it is rounded to the variable's dtype.
   * @throws ConfigError if the shapes differ
   */
  assign(value: tf.Tensor): void {
    if (value.shape.join() !== this.shape.join()) {
      throw new ConfigError(
        `The variable ${this.name} has shape [${this.shape.join(', ')}] and cannot be set to a value of shape ` +
          `[${value.shape.join(', ')}].`,
      );
    }
    this.storage.assign(value);
  }

  /**
   * Sets the part of the value that begins at `begin` and has `value`'s shape, in place.
   *
   * @param value of the variable's rank
   * @param begin one index a dimension; as a tensor (int32) it may differ from call to call of a compiled function,
   *   and has to lie so that the part is inside, which then cannot be checked
   * @throws ConfigError if ranks differ, or if the part is not inside of the variable
   */
  assignSlice(value: tf.Tensor, begin: readonly number[] | tf.Tensor1D): void {
    const size = Array.isArray(begin) ? begin.length : (begin as tf.Tensor1D).size;
    if (value.rank !== this.shape.length || size !== value.rank) {
      throw new ConfigError(
        `The variable ${this.name} has ${this.shape.length} dimensions; the slice to set has ${value.rank}, ` +
          `its begin ${size}. All have to be equal.`,
      );
    }
    if (Array.isArray(begin)) this.checkInside(value.shape, begin as readonly number[]);
    this.storage.assignSlice(value, begin);
  }

  /** Frees the memory. */
  dispose(): void {
    this.storage.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private checkInside(size: readonly number[], begin: readonly number[]): void {
    const inside = this.shape.every((dim, i) => {
      const from = begin[i] ?? 0;
      return Number.isInteger(from) && from >= 0 && from + (size[i] ?? 0) <= dim;
    });
    if (inside) return;
    throw new ConfigError(
      `A slice of shape [${size.join(', ')}] at [${begin.join(', ')}] is not inside of the variable ${this.name}, ` +
        `whose shape is [${this.shape.join(', ')}].`,
    );
  }
}
