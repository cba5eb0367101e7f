/*
 * A decoder block [4, 256, 256], forward, and forward and backward in one function, in three ways and in torch where
 * a Python with torch is found. Each is a process of its own; they take turns, so that what else the machine does
 * falls on all of them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TENSORS } from './support/decoderBlock.ts';
import { findPython, type Peer, startPeer } from './support/peer.ts';
import { quantile, row } from './support/timing.ts';

const ROUNDS = 15;
const RUNS = 5;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

function writeTensors(folder: string): void {
  for (const { name, shape } of TENSORS) {
    const size = shape.reduce((a, b) => a * b, 1);
    const scale = shape.length === 2 ? 0.1 : 2;
    const values = Float32Array.from({ length: size }, () => scale * (Math.random() - 0.5));
    writeFileSync(join(folder, `${name}.f32`), name.endsWith('norm') ? values.fill(1) : values);
  }
}

function startAll(folder: string): Map<string, Peer> {
  const node = (way: string): Peer =>
    startPeer(process.execPath, ['--import', 'tsx', here('support/blockWorker.ts'), folder, way]);
  const peers = new Map([
    ['graph', node('graph')],
    ['XLA', node('xla')],
    ['graph, a part of the batch a core', node('split')],
  ]);
  const python = findPython();
  if (python === undefined)
    console.log('no Python with torch and numpy in VIRTUAL_ENV or .venv: only our own times');
  else peers.set('torch', startPeer(python, [here('peers/torch_block.py'), folder]));
  return peers;
}

/* All compute the same: mean absolute values of the result and of all gradients. */
async function compare(peers: Map<string, Peer>): Promise<void> {
  const values = await Promise.all(
    [...peers.values()].map((peer) => peer.ask('values') as Promise<number[]>),
  );
  const [first = [], ...others] = values;
  const errors = others.flatMap((other) =>
    first.map((value, i) => Math.abs(value - (other[i] ?? NaN)) / value),
  );
  console.log(
    `largest relative difference of the means of |y|, |dx|, |dw|: ${Math.max(...errors).toExponential(1)}`,
  );
}

async function race(peers: Map<string, Peer>, what: string): Promise<Map<string, number[]>> {
  const times = new Map([...peers.keys()].map((name) => [name, [] as number[]]));
  for (const peer of peers.values()) await peer.ask(`${what} 5`);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, peer] of peers) {
      times.get(name)?.push(...((await peer.ask(`${what} ${RUNS}`)) as number[]));
      await setTimeout(60); // until its threads no longer wait busily for more
    }
  }
  return times;
}

function report(title: string, times: Map<string, number[]>): void {
  const torch = times.get('torch');
  console.log(row(title, 'median', 'minimum', torch === undefined ? '' : 'torch/it: median', 'minimum'));
  for (const [name, values] of times) {
    const cells = [0.5, 0].map((q) => `${quantile(values, q).toFixed(1)} ms`);
    const ratios =
      torch === undefined ? [] : [0.5, 0].map((q) => (quantile(torch, q) / quantile(values, q)).toFixed(2));
    console.log(row(`  ${name}`, ...cells, ...ratios));
  }
}

const folder = mkdtempSync(join(tmpdir(), 'finer1-bench-'));
writeTensors(folder);
const peers = startAll(folder);
try {
  await compare(peers);
  report('forward', await race(peers, 'forward'));
  report('forward and backward', await race(peers, 'gradient'));
} finally {
  for (const peer of peers.values()) peer.stop();
  rmSync(folder, { recursive: true });
}
