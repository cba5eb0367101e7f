/*
 * A decoder block [4, 256, 256], forward, and forward and backward in one function, against the same block in torch
 * where a Python with torch is found. Both take turns, so that what else the machine does falls on both.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { compile, registerTensorFlowBackend } from '../src/runtime/index.ts';
import { decoderBlock, PARAMETERS, SHAPE } from './support/decoderBlock.ts';
import { findPython, type Peer, startPeer } from './support/peer.ts';
import { quantile, repeat, row } from './support/timing.ts';

const ROUNDS = 15;
const RUNS = 4;

registerTensorFlowBackend();
await tf.setBackend('tensorflow');

const x_BLH = tf.randomNormal(SHAPE);
const dy_BLH = tf.randomNormal(SHAPE);
const parameters = PARAMETERS.map(({ name, shape }) =>
  name.endsWith('norm') ? tf.ones(shape) : tf.randomNormal(shape, 0, 0.05),
);

const forward = (x: tf.Tensor, weights: tf.Tensor[]): tf.Tensor[] => [decoderBlock(x, weights)];
const gradient = (x: tf.Tensor, weights: tf.Tensor[], dy: tf.Tensor): tf.Tensor[] => {
  const { value, grads } = tf.valueAndGrads((input: tf.Tensor, ...rest: tf.Tensor[]) =>
    decoderBlock(input, rest),
  )([x, ...weights], dy);
  return [value, ...grads];
};

const ways = [false, true].flatMap((xla) => {
  const name = xla ? 'XLA' : 'graph';
  const compiledForward = compile(forward, { xla });
  const compiledGradient = compile(gradient, { xla });
  return [
    { what: 'forward', name, run: () => compiledForward(x_BLH, parameters) },
    { what: 'gradient', name, run: () => compiledGradient(x_BLH, parameters, dy_BLH) },
  ];
});

const finish = (tensors: tf.Tensor[]): void => {
  tensors[0]?.dataSync();
  tf.dispose(tensors);
};

async function main(peer: Peer | undefined): Promise<void> {
  for (const what of ['forward', 'gradient']) {
    const times = new Map<string, number[]>();
    const note = (name: string, more: number[]): Map<string, number[]> =>
      times.set(name, [...(times.get(name) ?? []), ...more]);
    const ours = ways.filter((way) => way.what === what);
    for (const { run } of ours) repeat(5, () => finish(run()));
    await peer?.ask(`${what} 5`);
    for (let round = 0; round < ROUNDS; round++) {
      for (const { name, run } of ours)
        note(
          name,
          repeat(RUNS, () => finish(run())),
        );
      if (peer !== undefined) note('torch', (await peer.ask(`${what} ${RUNS}`)) as number[]);
    }
    report(what, times);
  }
}

function report(what: string, times: Map<string, number[]>): void {
  const torch = times.get('torch');
  console.log(
    row(what === 'forward' ? 'forward' : 'forward and backward', 'median', 'minimum', 'torch / it'),
  );
  for (const [name, values] of times) {
    const ratio = (q: number): string =>
      torch === undefined ? '' : (quantile(torch, q) / quantile(values, q)).toFixed(2);
    const cells = [0.5, 0].map((q) => `${quantile(values, q).toFixed(1)} ms`);
    console.log(row(`  ${name}`, ...cells, `${ratio(0.5)}, ${ratio(0)}`));
  }
}

/* Both sides compute the same: mean absolute values of the result and of all gradients. */
async function compare(peer: Peer): Promise<void> {
  const theirs = (await peer.ask('values')) as number[];
  const ours = compile(gradient)(x_BLH, parameters, dy_BLH).map(
    (t) => t.abs().mean().dataSync()[0] as number,
  );
  const errors = theirs.map((value, i) => Math.abs(value - (ours[i] ?? NaN)) / value);
  console.log(
    `largest relative difference of the means of |y|, |dx|, |dw|: ${Math.max(...errors).toExponential(1)}`,
  );
}

const python = findPython();
if (python === undefined)
  console.log('no Python with torch and numpy (VIRTUAL_ENV, .venv): only our own times');
const folder = mkdtempSync(join(tmpdir(), 'finer1-bench-'));
const names = ['x', 'dy', ...PARAMETERS.map(({ name }) => name)];
[x_BLH, dy_BLH, ...parameters].forEach((tensor, i) => {
  writeFileSync(join(folder, `${names[i] ?? ''}.f32`), tensor.dataSync());
});
const script = fileURLToPath(new URL('peers/torch_block.py', import.meta.url));
const peer = python === undefined ? undefined : startPeer(python, script, [folder]);
try {
  if (peer !== undefined) {
    console.log('peer:', JSON.stringify(await peer.ask('about')));
    await compare(peer);
  }
  await main(peer);
} finally {
  peer?.stop();
  rmSync(folder, { recursive: true });
}
