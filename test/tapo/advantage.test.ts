import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { groupAdvantages } from '../../src/tapo/advantage.ts';
import { GOLDENS, readGolden } from '../support/safetensors.ts';

const golden = readGolden(new URL('tapo/inputs.safetensors', GOLDENS));
const { groups, scores } = JSON.parse(readFileSync(new URL('tapo/meta.json', GOLDENS), 'utf8')) as {
  groups: string[];
  scores: number[];
};

it('are those of the released code', () => {
  const [count, length] = golden.advantages?.shape as [number, number];
  const advantages = groupAdvantages(scores, groups);
  expect(advantages).toHaveLength(count);
  advantages.forEach((value, b) => {
    expect(Math.abs(value - (golden.advantages?.data[b * length] as number)), `response ${b}`).toBeLessThan(
      1e-6,
    );
  });
});

it('are 0 where all of a group have one reward', () => {
  expect(Array.from(golden.advantages_zero_variance?.data ?? [1]).every((x) => x === 0)).toBe(true);
  expect(groupAdvantages([1, 1, 1, 1], [0, 0, 0, 0])).toEqual([0, 0, 0, 0]);
});

it('are differences from the mean only, as Dr. GRPO has them', () => {
  expect(groupAdvantages([1, 0, 0, 1], ['a', 'a', 'b', 'b'], { byStd: false })).toEqual([
    0.5, -0.5, -0.5, 0.5,
  ]);
});

it('need two responses a group, and a group for each', () => {
  expect(() => groupAdvantages([1, 0, 1], ['a', 'a', 'b'])).toThrow(
    'groupAdvantages: a group has one response only; its deviation needs two at least.',
  );
  expect(() => groupAdvantages([1, 0], ['a'])).toThrow(
    'groupAdvantages: 2 rewards and 1 groups; give one of each for a response.',
  );
});
