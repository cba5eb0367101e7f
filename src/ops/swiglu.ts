import * as tf from '@tensorflow/tfjs';

/**
 * The gated activation of SwiGLU (Shazeer 2020): `silu(gate) * up`, with a gradient of its own that keeps nothing but
 * its inputs.
 *
 * @param gate any shape
 * @param up of the same shape
 */
export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args: unknown[]) => {
    const [g, u, save] = args as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    save([g, u]);
    return { value: g.mul(g.sigmoid()).mul(u), gradFunc };
  });
  return op(gate, up);
}

/* silu'(g) = s + silu(g) (1 - s), where s = sigmoid(g) */
function gradFunc(dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] {
  const [gate, up] = saved as [tf.Tensor, tf.Tensor];
  const s = gate.sigmoid();
  const silu = gate.mul(s);
  return [dy.mul(up).mul(s.add(silu.sub(silu.mul(s)))), dy.mul(silu)];
}
