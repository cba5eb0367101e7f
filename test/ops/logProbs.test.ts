import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { logProbs, logProbsVjp } from '../../src/ops/logProbs.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import { GOLDENS } from '../support/safetensors.ts';

type Part = 'log_probs' | 'entropies' | 'd_logits';
interface Case extends Record<Part, number[]> {
  name: string;
  shape: [number, number];
  logits: number[];
  targets: number[];
  coefficients: number[];
  /** of torch's float32 from its float64 */
  distances: Record<Part, number>;
}
const cases = JSON.parse(readFileSync(new URL('ops/log_probs.json', GOLDENS), 'utf8')) as Case[];

/* Within 5 times torch's own distance, or a unit in the last place of 1. */
function expectClose(actual: tf.Tensor, golden: Case, part: Part): void {
  const differences = [...actual.dataSync()].map((x, i) => Math.abs(x - (golden[part][i] as number)));
  expect(differences).toHaveLength(golden[part].length);
  const largest = Math.max(...differences);
  const at = differences.indexOf(largest);
  const found = `${part}[${at}] is ${actual.dataSync()[at]}, expected ${golden[part][at]}`;
  expect(largest, found).toBeLessThan(Math.max(5 * golden.distances[part], 2 ** -23));
}

onEveryBackend(() => {
  describe.each(cases)('logits that are $name', (golden) => {
    it.each(['eager', 'graph', 'xla'])('have the scores and the gradient of torch, %s', (way) => {
      using compiledScores = compile(logProbs, { xla: way === 'xla' });
      const weighted = (logits: tf.Tensor, targets: tf.Tensor, coefficients: tf.Tensor) =>
        logProbsVjp(logits, targets, () => coefficients);
      using compiledVjp = compile(weighted, { xla: way === 'xla' });
      const [scoresOf, vjpOf] = way === 'eager' ? [logProbs, weighted] : [compiledScores, compiledVjp];
      const logits = tf.tensor2d(golden.logits, golden.shape);
      const targets = tf.tensor1d(golden.targets, 'int32');
      const scores = scoresOf(logits, targets);
      const vjp = vjpOf(logits, targets, tf.tensor1d(golden.coefficients));
      expectClose(scores.entropies, golden, 'entropies');
      for (const found of [scores, vjp]) expectClose(found.logProbs, golden, 'log_probs');
      expect(vjp.dLogits.shape).toEqual(golden.shape);
      expectClose(vjp.dLogits, golden, 'd_logits');
    });
  });

  it('keeps its precision over a whole vocabulary', () => {
    const width = 151_936;
    const row = Float32Array.from({ length: width }, (_, i) => 8 * Math.sin(i * 0.7) * Math.cos(i * 1.3));
    const target = 1234;
    const sum = row.reduce((total, z) => total + Math.exp(z), 0);
    const expected = (row[target] as number) - Math.log(sum);
    const entropy = Math.log(sum) - row.reduce((total, z) => total + z * Math.exp(z), 0) / sum;
    const scores = logProbs(tf.tensor2d(row, [1, width]), tf.tensor1d([target], 'int32'));
    expect(Math.abs((scores.logProbs.dataSync()[0] as number) - expected)).toBeLessThan(1e-5);
    expect(Math.abs((scores.entropies.dataSync()[0] as number) - entropy)).toBeLessThan(1e-5);
  });

  it('gives a row that does not count no gradient', () => {
    const { dLogits } = logProbsVjp(
      tf.tensor2d([
        [1, 2, 3],
        [1, 2, 3],
      ]),
      tf.tensor1d([0, 2], 'int32'),
      () => tf.tensor1d([0, 1]),
    );
    const values = [...dLogits.dataSync()].map(Math.abs);
    expect(values.slice(0, 3)).toEqual([0, 0, 0]);
    expect(Math.min(...values.slice(3))).toBeGreaterThan(0.05);
  });
});
