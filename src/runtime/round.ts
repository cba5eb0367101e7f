import * as tf from '@tensorflow/tfjs';
import { fromBfloat16, toBfloat16 } from './halves.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { DType } from './tensorflow/dtypes.ts';
import { rawOps } from './tensorflow/rawOps.ts';
import { cast } from './tensorflow/resource.ts';

/**
 * float32 values rounded to bfloat16 (to nearest, ties to even), as float32. In a function that XLA compiles the
 * rounding may be left out, since XLA takes more precision than asked for as allowed.
 */
export function roundToBfloat16(x: tf.Tensor): tf.Tensor {
  const backend = currentTensorFlow();
  if (backend === undefined) {
    return tf.tensor(fromBfloat16(toBfloat16(x.dataSync<'float32'>())), x.shape, 'float32');
  }
  return rawOps(backend, ({ op }) => {
    const rounded = cast(op, backend.idOf(x), DType.FLOAT, DType.BFLOAT16);
    return cast(op, rounded, DType.BFLOAT16, DType.FLOAT);
  });
}
