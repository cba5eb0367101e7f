import * as tf from '@tensorflow/tfjs';
import { BackendError } from '../common/errors.ts';
import { compile } from './compile.ts';
import { currentTensorFlow, isOnGpu } from './tensorflow/backend.ts';

/** How fast a backend is. */
export interface Speed {
  /** product of two float32 matrices, in 10^9 operations a second */
  matmulGflops: number;
  /** one small op called from JavaScript, in microseconds */
  eagerOpUs: number;
  /** one call of a compiled function of one small op, in microseconds; undefined where nothing is compiled */
  graphCallUs?: number;
  /** the same, compiled by XLA */
  xlaCallUs?: number;
  /** why XLA does not work */
  xlaError?: string;
}

const MEASURE_MS = 120;

/** Measures the backend that tfjs computes on now; takes about half a second. */
export async function measureBackend(): Promise<Speed> {
  const speed: Speed = { matmulGflops: await matmulGflops(), eagerOpUs: await eagerOpUs() };
  if (currentTensorFlow() === undefined) return speed;
  speed.graphCallUs = await compiledCallUs(false);
  try {
    speed.xlaCallUs = await compiledCallUs(true);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    speed.xlaError = error.message;
  }
  return speed;
}

async function matmulGflops(): Promise<number> {
  const size = isOnGpu() ? 4096 : 512;
  const a = tf.randomNormal<tf.Rank.R2>([size, size]);
  const us = await microsecondsPer(() => tf.matMul(a, a));
  a.dispose();
  return (2 * size ** 3) / us / 1e3;
}

async function eagerOpUs(): Promise<number> {
  const a = tf.ones([16]);
  const us = await microsecondsPer(() => tf.add(a, a));
  a.dispose();
  return us;
}

async function compiledCallUs(xla: boolean): Promise<number> {
  using double = compile((x: tf.Tensor) => tf.add(x, x), { name: 'double', xla });
  const a = tf.ones([16]);
  try {
    return await microsecondsPer(() => double(a));
  } finally {
    a.dispose();
  }
}

/* Reading the last result waits for all before it: a GPU works through them in order. */
async function microsecondsPer(op: () => tf.Tensor): Promise<number> {
  const run = async (times: number): Promise<number> => {
    const start = performance.now();
    for (let i = 1; i < times; i++) op().dispose();
    const last = tf.tidy(() => op().flatten().slice(0, 1));
    await last.data();
    last.dispose();
    return performance.now() - start;
  };
  await run(1); // The first call traces, compiles and takes memory.
  for (let times = 1; ; times *= 2) {
    const elapsedMs = await run(times);
    if (elapsedMs >= MEASURE_MS / 2) return (elapsedMs * 1e3) / times;
  }
}
