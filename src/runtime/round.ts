import * as tf from '@tensorflow/tfjs';
import { fromBfloat16, toBfloat16 } from './halves.ts';
import { intAttribute, typeAttribute } from './tensorflow/attributes.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { DType } from './tensorflow/dtypes.ts';
import { rawOps } from './tensorflow/rawOps.ts';
import { cast } from './tensorflow/resource.ts';

/** float32 values rounded to bfloat16 (to nearest, ties to even), as float32. */
export function roundToBfloat16(x: tf.Tensor): tf.Tensor {
  const backend = currentTensorFlow();
  if (backend === undefined) {
    return tf.tensor(fromBfloat16(toBfloat16(x.dataSync<'float32'>())), x.shape, 'float32');
  }
  return rawOps(backend, ({ op }) => {
    const id = backend.idOf(x);
    // XLA may leave a pair of casts out, since it takes more precision than asked for as allowed; the op before them it
    // may not. Where it keeps them, what it has to store between its loops is of 16 bits.
    const isXla = backend.binding.trace?.xla === true;
    const rounded = isXla ? op('XlaReducePrecision', BFLOAT16, [id], x.shape) : id;
    return cast(op, cast(op, rounded, DType.FLOAT, DType.BFLOAT16), DType.BFLOAT16, DType.FLOAT);
  });
}

const BFLOAT16 = [
  typeAttribute('T', DType.FLOAT),
  intAttribute('exponent_bits', 8),
  intAttribute('mantissa_bits', 7),
];
