import * as tf from '@tensorflow/tfjs';

/**
 * Rotary position embedding (Su et al. 2021) in Hugging Face's layout, where a frequency turns component i together
 * with component i + D / 2.
 *
 * @param x `[B, N, L, D]`
 * @param cos of the angles, `[B or 1, 1, L, D / 2]`
 * @param sin likewise
 */
export function rotate(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args: unknown[]) => {
    const [input, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([cos, sin]);
    return { value: turn(input, cos, sin), gradFunc };
  });
  return op(x);
}

/* A rotation's gradient is turned back. */
function gradFunc(dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor {
  const [cos, sin] = saved as [tf.Tensor, tf.Tensor];
  return turn(dy, cos, sin.neg());
}

function turn(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const [a, b] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
  return tf.concat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], -1);
}

/** Frequencies `theta^(-2 i / dim)`, `[dim / 2]`, in float32 steps as torch takes them. */
export function rotaryFrequencies(theta: number, dim: number): Float32Array {
  return Float32Array.from(
    { length: dim / 2 },
    (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / dim)),
  );
}
