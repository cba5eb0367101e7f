import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { locateTensorFlow } from '../../src/runtime/tensorflow/locate.ts';
import { type Finished, runModule } from '../support/child.ts';

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

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'finer1-xla-'));
});
afterEach(() => {
  rmSync(cache, { recursive: true });
});

const use = async (folder: string): Promise<Finished> =>
  runModule(USE, undefined, { FINER1_TENSORFLOW: locateTensorFlow().folder, FINER1_CACHE: folder });
const filesOfCache = (): string[] =>
  readdirSync(cache, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.pb'));

it('keeps what XLA has compiled for the next process', async () => {
  const run = async (): Promise<{ ms: number; values: number[]; files: string[] }> => {
    const { stdout, stderr } = await use(cache);
    expect(stderr).toBe('');
    return { ...(JSON.parse(stdout) as { ms: number; values: number[] }), files: filesOfCache() };
  };
  const first = await run();
  const second = await run();
  console.log(`compiled in ${first.ms} ms, loaded in ${second.ms} ms`);
  expect(first.files).toHaveLength(1);
  expect(second.files).toEqual(first.files);
  expect(second.values).toEqual(first.values);
  expect(second.ms).toBeLessThan(first.ms / 1.5);
});

it('does without where the cache folder cannot be made', async () => {
  const file = join(cache, 'file');
  writeFileSync(file, '');
  expect(await use(join(file, 'below'))).toMatchObject({ code: 0, stderr: '' });
});

it('says so where a file of the cache is damaged', async () => {
  expect(await use(cache)).toMatchObject({ code: 0 });
  const [file = ''] = filesOfCache();
  truncateSync(join(cache, file), 100);
  const { code, stderr } = await use(cache);
  expect(code).toBe(1);
  expect(stderr).toMatch(/BackendError: .* That is XLA's cache in .*delete the folder/);
});
