/*
 * One way of running the decoder block, in a process of its own: answers lines on stdin as bench/peers/torch_block.py
 * does. Arguments: the folder with the tensors, and `graph`, `xla` or `split`.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as tf from '@tensorflow/tfjs';
import { compile, registerTensorFlowBackend } from '../../src/runtime/index.ts';
import { decoderBlock, splitBlock, TENSORS } from './decoderBlock.ts';
import { repeat } from './timing.ts';

const [folder = '', way = ''] = process.argv.slice(2);
const cores = availableParallelism();

// With a chain of ops for each core, an op has one thread.
registerTensorFlowBackend({ threads: way === 'split' ? 1 : 0 });
await tf.setBackend('tensorflow');

const tensors = TENSORS.map(({ name, shape }) => {
  const { buffer } = Uint8Array.from(readFileSync(join(folder, `${name}.f32`)));
  return tf.tensor(new Float32Array(buffer), shape);
});
const [dy, inputs] = [tensors.at(-1) as tf.Tensor, tensors.slice(0, -1)];

const block = way === 'split' ? splitBlock(cores) : decoderBlock;
const options = { xla: way === 'xla' };
const forward = compile((...args: tf.Tensor[]) => [block(...(args as [tf.Tensor]))], options);
const gradient = compile((upstream: tf.Tensor, ...args: tf.Tensor[]) => {
  const { value, grads } = tf.valueAndGrads(block)(args, upstream);
  return [value, ...grads];
}, options);

const runs: Record<string, () => tf.Tensor[]> = {
  forward: () => forward(...inputs),
  gradient: () => gradient(dy, ...inputs),
};

function answer(line: string): unknown {
  const [what = '', count] = line.split(' ');
  if (what === 'values')
    return tf.tidy(() => gradient(dy, ...inputs).map((t) => t.abs().mean().dataSync()[0]));
  return repeat(Number(count), () => tf.dispose(runs[what]?.() ?? []));
}

createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(answer(line))}\n`);
});
