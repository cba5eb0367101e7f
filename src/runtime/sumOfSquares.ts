import type * as tf from '@tensorflow/tfjs';
import { typeAttribute } from './tensorflow/attributes.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { DType } from './tensorflow/dtypes.ts';
import { rawOps } from './tensorflow/rawOps.ts';

/**
 * Half of the sum of the squares, as TensorFlow's L2Loss: in one pass without a tensor of squares, which takes 1.7
 * instead of 4 ms for 10 M numbers (XLA's sum: 13 ms). No gradient flows.
 *
 * @param x float32, of any shape
 * @returns `[]`
 */
export function halfSumOfSquares(x: tf.Tensor): tf.Tensor {
  const backend = currentTensorFlow();
  if (backend === undefined) return x.square().sum().div(2);
  return rawOps(backend, ({ op }) => op('L2Loss', [typeAttribute('T', DType.FLOAT)], [backend.idOf(x)], []));
}
