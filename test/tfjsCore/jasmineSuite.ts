import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs';
import { registerTensorFlowBackend } from '../../src/runtime/index.ts';
import { BACKEND_NAME } from '../../src/runtime/tensorflow/tfjsNode.ts';

export interface Outcome {
  passed: number;
  /** tests that the suite itself marks as not to be run */
  pending: number;
  failed: { test: string; message: string }[];
}

interface SpecResult {
  status: 'passed' | 'failed' | 'pending';
  fullName: string;
  failedExpectations: { message: string }[];
}
interface Jasmine {
  getEnv(): {
    configure(options: { random: boolean }): void;
    addReporter(reporter: { specDone(result: SpecResult): void; suiteDone(result: SpecResult): void }): void;
    execute(): Promise<unknown>;
  };
}

// The suite is written for a bundler: `require`, as the loader of TypeScript extends it, takes its files as they are.
const require = createRequire(import.meta.url);
const TFJS_CORE = '@tensorflow/tfjs-core/dist';

/* mulberry32: tests that draw from Math.random draw the same numbers in every run. */
function seedMathRandom(seed: number): void {
  let state = seed;
  Math.random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs tfjs-core's own test suite on the TensorFlow backend, eagerly, in one order and with one seed. */
export async function runSuite(): Promise<Outcome> {
  seedMathRandom(1);
  registerTensorFlowBackend();
  await tf.setBackend(BACKEND_NAME);
  const jasmine = (require('jasmine-core') as { boot(): Jasmine }).boot();
  require(`${TFJS_CORE}/public/chained_ops/register_all_chained_ops`);
  require(`${TFJS_CORE}/register_all_gradients`);
  const { setTestEnvs } = require(`${TFJS_CORE}/jasmine_util`) as { setTestEnvs: (envs: object[]) => void };
  setTestEnvs([{ name: BACKEND_NAME, backendName: BACKEND_NAME, flags: {}, isDataSync: true }]);
  require(`${TFJS_CORE}/tests`);

  const outcome: Outcome = { passed: 0, pending: 0, failed: [] };
  const note = ({ fullName, failedExpectations }: SpecResult): void => {
    if (failedExpectations.length === 0) return;
    outcome.failed.push({
      test: fullName,
      message: failedExpectations.map((each) => each.message).join('; '),
    });
  };
  const env = jasmine.getEnv();
  env.configure({ random: false });
  env.addReporter({
    specDone(result) {
      if (result.status === 'failed') note(result);
      else outcome[result.status]++;
    },
    suiteDone: note,
  });
  await env.execute();
  return outcome;
}
