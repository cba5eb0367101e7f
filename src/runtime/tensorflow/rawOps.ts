import type * as tf from '@tensorflow/tfjs';
import type { Attribute } from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';

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

/** Runs raw ops; the tensor that the body returns becomes one of tfjs, all others that it made are freed. */
export function rawOps(backend: TensorFlowBackend, body: (op: RawOp) => number): tf.Tensor {
  return scratch(backend, (op, keep) => {
    const id = body(op);
    keep(id);
    return backend.tensorOf(id);
  });
}

/** Runs raw ops, and frees every tensor that they made except for those that are kept. */
export function scratch<T>(
  backend: TensorFlowBackend,
  body: (op: RawOp, keep: (id: number) => void) => T,
): T {
  const { binding } = backend;
  const made = new Set<number>();
  try {
    return body(
      (name, attributes, inputs, shape) => {
        const [output] = binding.executeOp(name, attributes, inputs, 1, shape) as [TensorMetadata];
        made.add(output.id);
        return output.id;
      },
      (id) => made.delete(id),
    );
  } finally {
    for (const id of made) binding.deleteTensor(id);
  }
}
