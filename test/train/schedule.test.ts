import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../src/train/schedule.ts';
import { GOLDENS } from '../support/safetensors.ts';

const golden = JSON.parse(readFileSync(new URL('sft/cosine_schedule.json', GOLDENS), 'utf8')) as {
  values: Record<string, number[]>;
};

describe('learningRateAt', () => {
  it.each(Object.entries(golden.values))('is that of transformers for %s', (name, values) => {
    const [warmupSteps = 0, total = 0, peak = 0] = [...name.matchAll(/=([^,]+)/g)].map((found) =>
      Number(found[1]),
    );
    values.forEach((value, step) => {
      const rate = learningRateAt(step, peak, { kind: 'cosine', warmupSteps }, total);
      expect(Math.abs(rate - value)).toBeLessThanOrEqual(1e-12 * peak);
    });
  });

  it('falls along a line to 0, or stays, after the warm-up', () => {
    const at = (kind: 'linear' | 'constant', step: number): number =>
      learningRateAt(step, 8, { kind, warmupSteps: 2 }, 10);
    expect([0, 1, 2, 4, 6, 10, 11].map((step) => at('linear', step))).toEqual([0, 4, 8, 6, 4, 0, 0]);
    expect([0, 1, 2, 9, 20].map((step) => at('constant', step))).toEqual([0, 4, 8, 8, 8]);
  });
});
