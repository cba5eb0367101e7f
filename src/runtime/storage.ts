import type * as tf from '@tensorflow/tfjs';

/** How a variable's elements are kept. They are read as float32, int32 as int32. */
export type VariableDType = 'float32' | 'bfloat16' | 'float16' | 'int32';

/** Where a variable's elements are, on one backend. */
export interface VariableStorage {
  read(): tf.Tensor;
  gather(indices: tf.Tensor): tf.Tensor;
  assign(value: tf.Tensor): void;
  assignSlice(value: tf.Tensor, begin: readonly number[] | tf.Tensor1D): void;
  dispose(): void;
}

/** A variable, as what it is kept in sees it. */
export interface Stored {
  readonly name: string;
  readonly dtype: VariableDType;
  readonly storage: VariableStorage;
}
