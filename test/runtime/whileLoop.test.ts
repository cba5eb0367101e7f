import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { compile, Variable, whileLoop } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';

onEveryBackend(() => {
  const counter = (): tf.Tensor => tf.scalar(0, 'int32');

  describe.each([{ xla: false }, { xla: true }])('whileLoop in a function compiled with %o', (options) => {
    it('repeats the body as long as the condition holds', () => {
      const limit = tf.scalar(100);
      using f = compile(
        (x: tf.Tensor) =>
          whileLoop(
            ({ x }) => x.less(limit),
            ({ n, x }) => ({ n: n.add(tf.scalar(1, 'int32')), x: x.mul(tf.scalar(2)) }),
            { n: counter(), x },
          ),
        options,
      );
      const { n, x } = f(tf.scalar(1));
      expect([n.dataSync()[0], x.dataSync()[0], n.dtype]).toEqual([7, 128, 'int32']);
      expect(f(tf.scalar(1000)).n.dataSync()[0]).toBe(0);
    });

    it('uses and updates variables, also those of an outer loop', () => {
      using variable = Variable.fromTensor(tf.zeros([3, 4]));
      using f = compile(() => {
        const scale = tf.scalar(10);
        return whileLoop(
          (row) => row.less(3),
          (row) => {
            whileLoop(
              (column) => column.less(4),
              (column) => {
                const at = tf.stack([row, column]) as tf.Tensor1D;
                variable.assignSlice(row.mul(scale).add(column).toFloat().reshape([1, 1]), at);
                return column.add(tf.scalar(1, 'int32'));
              },
              counter(),
            );
            return row.add(tf.scalar(1, 'int32'));
          },
          counter(),
        ).toFloat().add(variable.read().sum()); // prettier-ignore
      }, options);
      expect(f().dataSync()[0]).toBe(3 + 138);
      expect([...variable.read().dataSync()]).toEqual([0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]);
    });
  });

  it('runs outside of compiled functions too', () => {
    const state: { x: tf.Tensor } = { x: tf.tensor1d([1, 2]) };
    const result = whileLoop(
      ({ x }) => x.sum().less(50),
      ({ x }) => ({ x: x.mul(2) }),
      state,
    );
    expect([...result.x.dataSync()]).toEqual([32, 64]);
    expect([...state.x.dataSync()]).toEqual([1, 2]);
  });

  it('refuses a body that changes a shape, and a condition that is none', () => {
    const one = tf.tensor1d([1]);
    expect(() =>
      whileLoop(
        (x) => x.sum().less(5),
        (x) => x.concat(x),
        one as tf.Tensor,
      ),
    ).toThrow(/body returned a state of another form: float32\[2\] after float32\[1\]/);
    expect(() =>
      whileLoop(
        (x) => x,
        (x) => x,
        one as tf.Tensor,
      ),
    ).toThrow(/cond returned float32\[1\].*bool scalar/);
  });
});
