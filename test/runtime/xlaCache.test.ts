import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { locateTensorFlow } from '../../src/runtime/tensorflow/locate.ts';
import { runModule } from '../support/child.ts';

const USE = `
  import * as tf from '@tensorflow/tfjs';
  import { compile, registerTensorFlowBackend } from './src/runtime/index.ts';
  registerTensorFlowBackend();
  await tf.setBackend('tensorflow');
  const chain = (x) => { for (let i = 0; i < 12; i++) x = tf.matMul(x, x, false, true).softmax().add(tf.sin(x)); return x.sum(); };
  const compiled = compile((x) => tf.grad(chain)(x), { xla: true });
  const x = tf.range(0, 4096).div(4096).reshape([64, 64]);
  const start = Date.now();
  const values = compiled(x).dataSync();
  console.log(JSON.stringify({ ms: Date.now() - start, values: [...values.slice(0, 8)] }));
`;

it('keeps what XLA has compiled for the next process', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'finer1-xla-'));
  const env = { FINER1_TENSORFLOW: locateTensorFlow().folder, FINER1_CACHE: cache };
  const run = async (): Promise<{ ms: number; values: number[]; files: string[] }> => {
    const { stdout, stderr } = await runModule(USE, undefined, env);
    expect(stderr).toBe('');
    const files = readdirSync(cache, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.pb'),
    );
    return { ...(JSON.parse(stdout) as { ms: number; values: number[] }), files };
  };
  const first = await run();
  const second = await run();
  rmSync(cache, { recursive: true });
  console.log(`compiled in ${first.ms} ms, loaded in ${second.ms} ms`);
  expect(first.files).toHaveLength(1);
  expect(second.files).toEqual(first.files);
  expect(second.values).toEqual(first.values);
  expect(second.ms).toBeLessThan(first.ms / 1.5);
});
