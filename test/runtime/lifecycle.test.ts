import { describe, expect, it } from 'vitest';
import { runModule } from '../support/child.ts';

/* Uses everything that holds memory or threads of TensorFlow. */
const USE = `
  import * as tf from '@tensorflow/tfjs';
  import { compile, registerTensorFlowBackend, uniform, Variable, whileLoop } from './src/runtime/index.ts';
  registerTensorFlowBackend();
  await tf.setBackend('tensorflow');
  const variable = Variable.fromTensor(tf.ones([64, 64]), { dtype: 'bfloat16' });
  const use = (x) => whileLoop((y) => y.sum().less(1e6), (y) => tf.matMul(y, variable.read()), x);
  for (const xla of [false, true]) compile(use, { xla })(uniform([1, 2], [8, 64])).dataSync();
  console.log('used');
`;

describe('a process that has used TensorFlow', () => {
  it("keeps no more of the libraries' pages than it uses", async () => {
    const result = await runModule(`
      import { readFileSync } from 'node:fs';
      ${USE}
      const areas = readFileSync('/proc/self/smaps', 'utf8').split(/\\n(?=[0-9a-f]+-[0-9a-f]+ )/);
      const resident = (area) => Number(/^Rss: +([0-9]+) kB/m.exec(area)[1]) / 1024;
      console.log(areas.filter((area) => area.includes('libtensorflow')).reduce((sum, area) => sum + resident(area), 0));
    `);
    const [, mib] = result.stdout.trim().split('\n').map(Number);
    // All that loading touches are some 280.
    expect(mib).toBeGreaterThan(10);
    expect(mib).toBeLessThan(140);
  });

  it.each([
    ['ends by itself', '', 0],
    ['ends with the exit code that it has set', 'process.exitCode = 7;', 7],
    ['ends where it calls process.exit', 'process.exit(3);', 3],
    ['ends with 1 after an uncaught error', 'throw new Error("on purpose");', 1],
  ])('%s, and prints nothing of its own', async (_, end, code) => {
    const result = await runModule(USE + end);
    expect(result).toMatchObject({ code, signal: null, stdout: 'used\n' });
    expect(result.stderr).toMatch(code === 1 ? /^[^]*Error: on purpose[^]*$/ : /^$/);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends at once on %s, in the middle of its work', async (name) => {
    let sent = 0;
    const endless = 'const x = tf.ones([2000, 2000]); for (;;) tf.matMul(x, x).dispose();';
    const result = await runModule(USE + endless, (stdout, kill) => {
      if (sent !== 0 || !stdout.includes('used')) return;
      sent = Date.now();
      kill(name);
    });
    expect(result).toMatchObject({ code: null, signal: name });
    expect(Date.now() - sent).toBeLessThan(2000);
  });

  it('may use it in worker threads, which end by themselves or are ended', async () => {
    const result = await runModule(`
      import { Worker } from 'node:worker_threads';
      const run = (how) => new Promise((resolve, reject) => {
        const worker = new Worker('./test/support/fixtures/worker.js', { workerData: how, execArgv: [] });
        const results = [];
        worker.on('message', (value) => {
          if (results.push(value) === 2 && how === 'stay') worker.terminate();
        });
        worker.on('error', reject);
        worker.on('exit', () => resolve(results.join()));
      });
      console.log(await run('end'), await run('stay'), ...(await Promise.all([run('end'), run('stay')])));
      ${USE}
      process.exitCode = 5;
    `);
    expect(result, result.stderr).toMatchObject({ code: 5, signal: null });
    expect(result.stdout).toBe(`${Array(4).fill('8192,8192').join(' ')}\nused\n`);
  });
});

describe('memory', () => {
  it('stays where it was after 20,000 eager ops and 2,000 compiled calls', async () => {
    const result = await runModule(`${USE}
      import { currentTensorFlow } from './src/runtime/tensorflow/backend.ts';
      const a = tf.ones([32, 32]);
      const row = tf.ones([1, 32]);
      const cache = Variable.fromTensor(tf.zeros([32, 32]));
      const compiled = [false, true].map((xla) =>
        compile(({ x }) => { cache.assignSlice(row, [3, 0]); return { y: tf.matMul(x, cache.read()), x }; }, { xla }));
      const work = (ops, calls) => {
        for (let i = 0; i < ops / 4; i++) {
          tf.tidy(() => { tf.matMul(a, a).add(tf.scalar(i)).sum().reshape([1]); });
          if (i % 100 === 0) tf.tidy(() => tf.add(a, i).dataSync());
        }
        for (let i = 0; i < calls; i++) tf.dispose(compiled[i % 2]({ x: a }));
      };
      const measure = () => {
        for (let i = 0; i < 3; i++) gc();
        const { binding } = currentTensorFlow();
        return { tensors: tf.memory().numTensors, handles: binding.getNumOfTensors(), rss: process.memoryUsage.rss() };
      };
      work(4000, 400);
      const before = measure();
      work(20000, 2000);
      const after = measure();
      console.log(JSON.stringify({ before, after }));
    `);
    expect(result.stderr).toBe('');
    const { before, after } = JSON.parse(result.stdout.replace('used\n', '')) as Record<
      'before' | 'after',
      { tensors: number; handles: number; rss: number }
    >;
    console.log(`resident memory grew by ${((after.rss - before.rss) / 2 ** 20).toFixed(1)} MiB`);
    expect(after.tensors).toBe(before.tensors);
    expect(after.handles).toBe(before.handles);
    expect(after.rss - before.rss).toBeLessThan(20 * 2 ** 20);
  });
});
