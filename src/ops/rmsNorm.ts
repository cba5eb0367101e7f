import * as tf from '@tensorflow/tfjs';

/**
 * Root mean square normalisation (Zhang and Sennrich 2019): `x / sqrt(mean(x^2) + epsilon) * weight`, over the last
 * dimension, with a gradient of its own that goes over the data less often than tfjs's would.
 *
 * @param x `[..., H]`
 * @param weight `[H]`
 */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, epsilon = 1e-6): tf.Tensor {
  const op = tf.customGrad((...args: unknown[]) => {
    const [input, gain, save] = args as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    const scale = input.square().mean(-1, true).add(epsilon).rsqrt();
    save([input, gain, scale]);
    return { value: input.mul(scale).mul(gain), gradFunc };
  });
  return op(x, weight);
}

function gradFunc(dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] {
  const [x, weight, scale] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
  const normed = x.mul(scale);
  const g = dy.mul(weight);
  const dx = scale.mul(g.sub(normed.mul(g.mul(normed).mean(-1, true))));
  return [dx, dy.mul(normed).reshape([-1, weight.size]).sum(0)];
}
