import * as tf from '@tensorflow/tfjs';
import { ConfigError } from '../common/errors.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { type Compute, multiplyByVariable, multiplyRounded, roundsFactors } from './tensorflow/multiply.ts';
import type { Variable } from './variable.ts';

/**
 * Multiplies by a weight that is kept as Hugging Face stores it: `x weight^T`. Which way is taken depends on the
 * weight's dtype and the number of rows (see `tensorflow/multiply.ts`).
 *
 * A gradient flows to `x`, not to the weight: for that, `read()` the variable and take `linearByTensor`.
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

/**
 * Multiplies by a weight that is being differentiated: `x weight^T`; a gradient flows to both.
 *
 * @param x `[rows, in]`
 * @param weight `[out, in]`
 * @param compute `bfloat16` rounds all factors, those of the gradients too, where that is faster
 * @returns `[rows, out]`
 */
export function linearByTensor(x: tf.Tensor2D, weight: tf.Tensor2D, compute: Compute): tf.Tensor2D {
  const op = tf.customGrad((...args: unknown[]) => {
    const [x_RI, weight_OI, save] = args as [tf.Tensor2D, tf.Tensor2D, tf.GradSaveFunc];
    save([x_RI, weight_OI]);
    return {
      value: matMul(x_RI, weight_OI, { transposeB: true, compute }),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [savedX, savedWeight] = saved as [tf.Tensor2D, tf.Tensor2D];
        const dy_RO = dy as tf.Tensor2D;
        return [
          matMul(dy_RO, savedWeight, { compute }),
          matMul(dy_RO, savedX, { transposeA: true, compute }),
        ];
      },
    };
  });
  return op(x, weight);
}

/** The product of two matrices; `bfloat16` rounds their elements where that is faster. No gradient flows. */
export function matMul(
  a: tf.Tensor2D,
  b: tf.Tensor2D,
  { transposeA = false, transposeB = false, compute }: { transposeA?: boolean; transposeB?: boolean; compute: Compute }, // prettier-ignore
): tf.Tensor2D {
  const backend = currentTensorFlow();
  return backend !== undefined && roundsFactors(backend, compute)
    ? multiplyRounded(backend, a, b, transposeA, transposeB)
    : tf.matMul(a, b, transposeA, transposeB);
}

/* x weight^T, or x weight */
function multiply(x: tf.Tensor2D, weight: Variable, transpose: boolean, compute: Compute): tf.Tensor {
  return currentTensorFlow() === undefined
    ? tf.tidy(() => tf.matMul(x, weight.read() as tf.Tensor2D, false, transpose))
    : multiplyByVariable(x, weight, transpose, compute);
}
