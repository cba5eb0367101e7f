import * as tf from '@tensorflow/tfjs';
import { ConfigError } from '../common/errors.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { type Compute, multiplyByVariable } from './tensorflow/multiply.ts';
import type { Variable } from './variable.ts';

/**
 * Multiplies by a weight that is kept as Hugging Face stores it: `x weight^T`. Which way is taken depends on the
 * weight's dtype and the number of rows (see `tensorflow/multiply.ts`).
 *
 * A gradient flows to `x`, not to the weight: for that, `read()` the variable and multiply tensors.
 *
 * @param x `[..., in]`
 * @param weight `[out, in]`
 * @param compute `bfloat16` rounds `x` where that is faster; no effect where the backend has no such products
 * @returns `[..., out]`, float32
 * @throws ConfigError if the shapes do not fit
 */
export function linear(
  x: tf.Tensor,
  weight: Variable,
  { compute = 'float32' }: { compute?: Compute } = {},
): tf.Tensor {
  const [out = 0, width = 0] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== width) {
    throw new ConfigError(
      `linear: x is [${x.shape.join(', ')}] and the weight ${weight.name} is [${weight.shape.join(', ')}], ` +
        'but [..., in] and [out, in] were expected.',
    );
  }
  const product = tf.customGrad((x_RI) => ({
    value: multiply(x_RI as tf.Tensor2D, weight, true, compute),
    gradFunc: (dy_RO: tf.Tensor) => multiply(dy_RO as tf.Tensor2D, weight, false, compute),
  }));
  return tf.tidy(() => product(x.reshape([-1, width])).reshape([...x.shape.slice(0, -1), out]));
}

/**
 * The gradient of `linear` with respect to its input: `dy weight`.
 *
 * @param dy `[..., out]`
 * @param weight `[out, in]`
 * @returns `[..., in]`, float32
 */
export function linearVjp(
  dy: tf.Tensor,
  weight: Variable,
  { compute = 'float32' }: { compute?: Compute } = {},
): tf.Tensor {
  const [out = 0, width = 0] = weight.shape;
  return tf.tidy(() =>
    multiply(dy.reshape([-1, out]), weight, false, compute).reshape([...dy.shape.slice(0, -1), width]),
  );
}

/* x weight^T, or x weight */
function multiply(x: tf.Tensor2D, weight: Variable, transpose: boolean, compute: Compute): tf.Tensor {
  return currentTensorFlow() === undefined
    ? tf.tidy(() => tf.matMul(x, weight.read() as tf.Tensor2D, false, transpose))
    : multiplyByVariable(x, weight, transpose, compute);
}
