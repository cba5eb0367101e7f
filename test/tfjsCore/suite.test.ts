import { expect, it } from 'vitest';
import { runModule } from '../support/child.ts';
import type { Outcome } from './jasmineSuite.ts';
import { KNOWN_FAILURES } from './knownFailures.ts';

it("passes tfjs-core's own suite, eagerly, but for what TensorFlow does otherwise", async () => {
  const { code, stdout, stderr } = await runModule("await import('./test/tfjsCore/run.ts');");
  expect(code, stderr).toBe(0);
  const { passed, pending, failed } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Outcome;

  const counts = KNOWN_FAILURES.map(({ tests, reason }) => {
    const count = failed.filter(({ test }) => tests.test(test)).length;
    return { reason, count };
  });
  console.log(`tfjs-core's suite: ${passed} passed, ${failed.length} failed, ${pending} not to be run`);
  for (const { reason, count } of counts) console.log(`${count} failed: ${reason}`);

  expect(failed.filter(({ test }) => !KNOWN_FAILURES.some(({ tests }) => tests.test(test)))).toEqual([]);
  expect(counts.filter(({ count }) => count === 0)).toEqual([]);
  expect(passed).toBeGreaterThan(4100);
});
