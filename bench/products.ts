/*
 * Products of rows by a bf16 weight [11008, 2048], as Hugging Face stores it: `linear` in a compiled graph, where it
 * chooses its way by the number of rows, beside the ways that it can choose from.
 */
import * as tf from '@tensorflow/tfjs';
import { compile, linear, registerTensorFlowBackend, Variable } from '../src/runtime/index.ts';
import { median, repeat, row } from './support/timing.ts';

registerTensorFlowBackend();
await tf.setBackend('tensorflow');

const [OUT, WIDTH] = [11008, 2048];
const values = tf.randomUniform([OUT, WIDTH], -1, 1);
using weight = Variable.fromTensor(values, { dtype: 'bfloat16' });
values.dispose();

type Product = (x: tf.Tensor) => tf.Tensor;
const bfloat16: Product = (x) => linear(x, weight, { compute: 'bfloat16' });
const float32: Product = (x) => linear(x, weight);
const cast: Product = (x) => tf.matMul(x, weight.read(), false, true);
const ways: Record<string, [Product, boolean]> = {
  'linear, bfloat16': [bfloat16, false],
  'linear, float32': [float32, false],
  'all in XLA, bfloat16': [bfloat16, true],
  'all in XLA, float32': [float32, true],
  'graph, cast to float32': [cast, false],
};

console.log(row('rows, way', 'median', 'GFLOP/s', 'weight GB/s'));
for (const rows of [1, 2, 4, 8, 32, 322]) {
  const x = tf.randomUniform([rows, WIDTH], -1, 1);
  for (const [name, [product, xla]] of Object.entries(ways)) {
    using run = compile(product, { xla });
    const times = repeat(rows > 100 ? 12 : 30, () => {
      const y = run(x);
      y.dispose();
    });
    const ms = median(times.slice(2));
    const cells = [(2 * rows * OUT * WIDTH) / ms / 1e6, (2 * OUT * WIDTH) / ms / 1e6].map((rate) =>
      rate.toFixed(1),
    );
    console.log(row(`${rows}  ${name}`, `${ms.toFixed(2)} ms`, ...cells));
  }
  x.dispose();
}
