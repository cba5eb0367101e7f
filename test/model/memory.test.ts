import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { loadModel } from '../../src/index.ts';
import { countTensors } from '../support/backends.ts';
import { MODELS, readCase } from './support.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;
const MIB = 2 ** 20;
// glibc keeps some of what is freed, and each view of native memory takes 200 bytes; seen: 1 to 6 MiB.
const ALLOWED_MIB = 16;

it('holds no more tensors and memory after 200 calls than after 20', async () => {
  const { inputs } = readCase('tiny-a', 'one_image');
  const labels = inputs.inputIds.map((ids) => ids.map((id, at) => (at > 45 ? id : -100)));
  using model = await loadModel(`${MODELS}tiny-a`, { backend: 'tensorflow' });
  const call = async (): Promise<void> => {
    const { tokens } = await model.generate(inputs, { maxNewTokens: 20, stopTokens: [] });
    await model.score(inputs, tokens);
    await model.lossAndGradients({ ...inputs, labels });
  };
  const use = async (calls: number): Promise<{ tensors: number; handles: number; rss: number }> => {
    for (let i = 0; i < calls; i++) await call();
    // What JavaScript has not collected yet is no leak; views of native memory go in a later turn.
    for (let i = 0; i < 3; i++) {
      gc();
      await setTimeout(20);
    }
    return { ...countTensors(), rss: process.memoryUsage().rss / MIB };
  };
  const after20 = await use(20);
  const after200 = await use(180);
  expect(after200).toMatchObject({ tensors: after20.tensors, handles: after20.handles });
  expect(after200.rss - after20.rss).toBeLessThan(ALLOWED_MIB);
  expect(tf.memory().numTensors).toBe(after200.tensors);
});
