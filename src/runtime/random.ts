import * as tf from '@tensorflow/tfjs';
import { ConfigError } from '../common/errors.ts';
import { currentTensorFlow } from './tensorflow/backend.ts';
import { threefryOnDevice } from './tensorflow/threefry.ts';
import { threefry } from '../common/threefry.ts';

/**
 * What a random number depends on, and nothing else: two integers of 32 bits, or a tensor `[2]` of them (int32). A
 * tensor `[rows, 2]` holds a key for each row, whose numbers then do not depend on the other rows.
 */
export type RandomKey = readonly [number, number] | tf.Tensor;

/**
 * Uniform random numbers in (0, 1), never 0 or 1: counter-based (Threefry-2x32 with 20 rounds, Salmon et al. 2011),
 * so the same on every backend, compiled or not, for the same key and shape.
 *
 * @param shape of the result; with a key for each row, `[rows, ...]`
 * @returns float32, in steps of 2^-23
 * @throws ConfigError if key and shape do not fit
 */
export function uniform(key: RandomKey, shape: readonly number[]): tf.Tensor {
  return tf.tidy(() => {
    const key_R2 = toKeys(key, shape);
    const columns = tf.util.sizeFromShape([...shape]) / (key_R2.shape[0] || 1);
    const backend = currentTensorFlow();
    const uniform_RC =
      backend === undefined
        ? tf.tensor(threefry(key_R2.dataSync<'int32'>(), columns), [key_R2.shape[0], columns])
        : threefryOnDevice(backend, key_R2, columns);
    return uniform_RC.reshape([...shape]);
  });
}

/**
 * Gumbel noise, `-log(-log(u))` of the `uniform` numbers for the same key: the arg max of logits plus noise is a
 * sample of their softmax.
 */
export function gumbel(key: RandomKey, shape: readonly number[]): tf.Tensor {
  return tf.tidy(() => uniform(key, shape).log().neg().log().neg());
}

function toKeys(key: RandomKey, shape: readonly number[]): tf.Tensor2D {
  const keys = key instanceof tf.Tensor ? key : tf.tensor1d([key[0] | 0, key[1] | 0], 'int32');
  const [rows] = keys.rank === 1 ? [1] : keys.shape;
  if (
    keys.shape.at(-1) !== 2 ||
    keys.rank > 2 ||
    keys.dtype !== 'int32' ||
    (keys.rank === 2 && rows !== shape[0])
  ) {
    throw new ConfigError(
      `A random key ${keys.dtype}[${keys.shape.join(', ')}] does not fit numbers of shape [${shape.join(', ')}]: ` +
        'int32[2], or int32[rows, 2] for [rows, ...], was expected.',
    );
  }
  return keys.reshape([-1, 2]);
}
