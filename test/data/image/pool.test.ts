import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { BackendError, DataError } from '../../../src/common/errors.ts';
import { parseImageConfig, RELEASED } from '../../../src/config/image.ts';
import { createImagePool, mapAhead } from '../../../src/data/image/pool.ts';
import { processImage, type ProcessedImage } from '../../../src/data/image/process.ts';
import { GOLDENS } from '../../support/safetensors.ts';

const path = (name: string): string => fileURLToPath(new URL(`image/${name}`, GOLDENS));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const { images } = JSON.parse(readFileSync(path('images.json'), 'utf8')) as {
  images: Record<string, { file: string }>;
};
const FILES = Object.values(images).map(({ file }) => path(file));
const BROKEN = fileURLToPath(import.meta.url);
const settings = { config: parseImageConfig({}, 'the test'), quirks: RELEASED };
const inline = (source: string | Uint8Array) => processImage(source, settings.config, settings.quirks);
/* Equal in every bit; vitest's own comparison takes seconds for a million numbers. */
const expectEqual = (actual: ProcessedImage | undefined, expected: ProcessedImage): void => {
  const { gridThw, pixelValues } = actual ?? { gridThw: [], pixelValues: new Float32Array(0) };
  expect(gridThw).toEqual(expected.gridThw);
  expect(Buffer.from(pixelValues.buffer).equals(Buffer.from(expected.pixelValues.buffer))).toBe(true);
};
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('pictures on threads', () => {
  const pool = createImagePool({ ...settings, workers: 2 });
  afterAll(() => pool[Symbol.asyncDispose]());

  it('are those of processImage, in the order of their sources', async () => {
    const expected = await Promise.all(FILES.map(inline));
    const actual: ProcessedImage[] = [];
    for await (const image of pool.map(FILES)) actual.push(image);
    expect(actual.length).toBe(FILES.length);
    for (const [i, image] of expected.entries()) expectEqual(actual[i], image);
  });

  it('are read from a view of bytes, which stays whole', async () => {
    const file = readFileSync(FILES[0] as string);
    const within = new Uint8Array(file.length + 20).fill(7);
    within.set(file, 10);
    const view = within.subarray(10, 10 + file.length);
    expectEqual(await pool.process(view), await inline(file));
    expect(Buffer.compare(view, file)).toBe(0);
  });

  it.each([['a file', BROKEN] as const, ['no bytes', new Uint8Array(0)] as const])(
    'are refused as by processImage: %s',
    async (_, source) => {
      const error = await failure(pool.process(source));
      expect(error).toBeInstanceOf(DataError);
      expect(error).toEqual(await failure(inline(source)));
    },
  );

  it('are refused in their turn, and those behind them can still be processed', async () => {
    const [first, last] = [FILES[0] as string, FILES[1] as string];
    const inOrder = pool.map([first, BROKEN, last]);
    expectEqual((await inOrder.next()).value as ProcessedImage, await inline(first));
    expect(await failure(inOrder.next())).toBeInstanceOf(DataError);
    expectEqual(await pool.process(last), await inline(last));
  });

  it('are refused when the pool is disposed of; those under way are not', async () => {
    const ending = createImagePool({ ...settings, workers: 1 });
    const [underWay, waiting] = [FILES[0] as string, FILES[1] as string].map((file) => ending.process(file));
    const refused = failure(waiting as Promise<unknown>);
    await ending[Symbol.asyncDispose]();
    expect(await refused).toBeInstanceOf(BackendError);
    expectEqual(await underWay, await inline(FILES[0] as string));
    expect(String(await failure(ending.process(BROKEN)))).toMatch(
      /pool\.test\.ts was not processed: .*disposed of/,
    );
  });

  it('are waited for by the process, which idle threads do not keep alive', async () => {
    const program = `
      import { createImagePool } from './src/data/image/pool.ts';
      const pool = createImagePool({ ...${JSON.stringify(settings)}, workers: 2 });
      const images = await Promise.all(${JSON.stringify(FILES.slice(0, 3))}.map((file) => pool.process(file)));
      console.log(images.length);`;
    const args = ['--import', 'tsx', '--input-type', 'module', '--eval', program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT, timeout: 60_000 });
    expect(stdout).toBe('3\n');
  });
});

describe('mapAhead', () => {
  it('has no more items under way than it is told to, besides the one that is waited for', async () => {
    let started = 0;
    const used: number[] = [];
    const items = Array.from({ length: 10 }, (_, i) => i);
    const run = (item: number): Promise<number> => {
      started++;
      return new Promise((resolve) => setTimeout(() => resolve(item), 10 - item));
    };
    for await (const item of mapAhead(items, run, 3)) {
      used.push(item);
      expect(started).toBe(Math.min(used.length + 3, 10));
    }
    expect(used).toEqual(items);
  });
});
