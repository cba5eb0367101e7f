/*
 * One row of a variable updated in a compiled function: the time must not grow with the variable, as it would if
 * the update copied it.
 */
import * as tf from '@tensorflow/tfjs';
import { compile, registerTensorFlowBackend, Variable } from '../src/runtime/index.ts';
import { median, repeat, row } from './support/timing.ts';

registerTensorFlowBackend();
await tf.setBackend('tensorflow');

const WIDTH = 1024;
console.log(row('one row of a variable of', '1 MiB', '8 MiB', '64 MiB', '64 : 1'));
for (const xla of [false, true]) {
  const times = [1, 8, 64].map((mebibytes) => {
    const rows = (mebibytes * 2 ** 20) / (4 * WIDTH);
    using cache = Variable.fromTensor(tf.zeros([rows, WIDTH]));
    using update = compile(
      (value: tf.Tensor, at: tf.Tensor1D) => {
        cache.assignSlice(value, at);
        return value.sum();
      },
      { xla },
    );
    const value = tf.ones([1, WIDTH]);
    const at = tf.tensor1d([rows / 2, 0], 'int32');
    const run = (): void => {
      const sum = update(value, at);
      sum.dataSync();
      sum.dispose();
    };
    repeat(50, run);
    return median(repeat(500, run));
  });
  const [small = NaN, , large = NaN] = times;
  console.log(
    row(xla ? 'XLA' : 'graph', ...times.map((ms) => `${ms.toFixed(3)} ms`), (large / small).toFixed(2)),
  );
}
