import type * as tf from '@tensorflow/tfjs';
import { afterAll, describe, expect, it } from 'vitest';
import { compile } from '../../src/runtime/index.ts';
import { useBackend } from '../support/backends.ts';
import { assertCloseTo } from '../support/closeTo.ts';
import { forward, type Golden, gradients, type OpCase, OPS, readCases, toTensor } from './opCases.ts';
import { SKIPS, tolerance } from './opSkips.ts';

type Run = (inputs: tf.Tensor[], dy: tf.Tensor[]) => tf.Tensor[];

/* The ways to run a function of tensors. */
const WAYS: Record<string, { backend: 'tensorflow' | 'wasm'; through: (run: Run) => Run }> = {
  'tensorflow eager': { backend: 'tensorflow', through: (run) => run },
  'tensorflow graph': { backend: 'tensorflow', through: (run) => compileOnce(run, false) },
  'tensorflow xla': { backend: 'tensorflow', through: (run) => compileOnce(run, true) },
  wasm: { backend: 'wasm', through: (run) => compileOnce(run, false) },
};

const compileOnce =
  (run: Run, xla: boolean): Run =>
  (inputs, dy) => {
    using compiled = compile(run, { xla });
    return compiled(inputs, dy);
  };

const CASES = readCases();
const skipped = new Map<string, number>();

function assertSame(actual: tf.Tensor[], expected: Golden[], ulps: number): void {
  const form = ({ dtype, shape }: tf.Tensor | Golden): string => `${dtype}[${shape.join()}]`;
  expect(actual.map(form)).toEqual(expected.map(form));
  expected.forEach(({ values }, i) => {
    assertCloseTo((actual[i] as tf.Tensor).dataSync(), values.map(Number), ulps, `result ${i}`);
  });
}

function check(way: string, item: OpCase, part: 'forward' | 'gradient'): void {
  const test = `${item.case} ${part}`;
  it(test, (context) => {
    const skip = SKIPS.find((each) => each.tests.test(test) && (each.way ?? way) === way);
    if (skip !== undefined) {
      skipped.set(skip.reason, (skipped.get(skip.reason) ?? 0) + 1);
      context.skip(skip.reason);
    }
    const isForward = part === 'forward';
    const run: Run = isForward ? (xs) => forward(item, xs) : (xs, dy) => gradients(item, xs, dy);
    const results = WAYS[way]?.through(run)(item.inputs.map(toTensor), (item.dy ?? []).map(toTensor)) ?? [];
    const torchUlps = (isForward ? item.ulps : item.gradientUlps) as number;
    assertSame(results, (isForward ? item.outputs : item.gradients) as Golden[], tolerance(test, torchUlps));
  });
}

describe.each(Object.keys(WAYS))('ops on %s', (way) => {
  useBackend(WAYS[way]?.backend ?? 'wasm');
  for (const item of CASES) {
    check(way, item, 'forward');
    if (item.gradients !== undefined) check(way, item, 'gradient');
  }
});

describe('the table of ops', () => {
  it('has a case for each function, and a test for each skip', () => {
    expect(Object.keys(OPS).filter((op) => !CASES.some((item) => item.op === op))).toEqual([]);
    const tests = CASES.flatMap((item) => [`${item.case} forward`, `${item.case} gradient`]);
    expect(SKIPS.filter((skip) => !tests.some((test) => skip.tests.test(test)))).toEqual([]);
  });
});

afterAll(() => {
  for (const [reason, count] of skipped) console.log(`${count} tests of ops skipped: ${reason}`);
});
