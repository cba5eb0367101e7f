import type * as tf from '@tensorflow/tfjs';
import type { Attribute } from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';
import type { Values } from './tensors.ts';

/**
 * Runs one TensorFlow op on tensors given by their numbers, of any type that TensorFlow has (bfloat16, uint32 and
 * resources are none of tfjs's), and returns its first result's number.
 *
 * @param shape the shape of the result, where a trace cannot infer it
 */
export type RawOp = (
  name: string,
  attributes: readonly Attribute[],
  inputs: readonly number[],
  shape?: readonly number[],
) => number;

/** What raw ops are made with. */
export interface Raw {
  op: RawOp;
  /** Makes a tensor from values; returns its number. */
  constant: (dtype: number, shape: readonly number[], values: Values) => number;
  /** Keeps a tensor that was made here from being freed at the end. */
  keep: (id: number) => void;
}

/** Runs raw ops; the tensor that the body returns becomes one of tfjs, all others that it made are freed. */
export function rawOps(backend: TensorFlowBackend, body: (raw: Raw) => number): tf.Tensor {
  return scratch(backend, (raw) => {
    const id = body(raw);
    raw.keep(id);
    return backend.tensorOf(id);
  });
}

/** Runs raw ops, and frees every tensor that they made except for those that are kept. */
export function scratch<T>(backend: TensorFlowBackend, body: (raw: Raw) => T): T {
  const { binding } = backend;
  const made = new Set<number>();
  const note = (id: number): number => {
    made.add(id);
    return id;
  };
  try {
    return body({
      op: (name, attributes, inputs, shape) => {
        const [output] = binding.executeOp(name, attributes, inputs, 1, shape) as [TensorMetadata];
        return note(output.id);
      },
      constant: (dtype, shape, values) => note(binding.createTensor([...shape], dtype, values)),
      keep: (id) => made.delete(id),
    });
  } finally {
    for (const id of made) binding.deleteTensor(id);
  }
}
