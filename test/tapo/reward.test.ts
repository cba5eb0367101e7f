import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { reward } from '../../src/tapo/reward.ts';
import { GOLDENS } from '../support/safetensors.ts';

interface Row {
  response: string;
  ground_truth: string;
  overall: number;
  format: number;
  accuracy: number;
}

const rows = JSON.parse(readFileSync(new URL('tapo/reward.json', GOLDENS), 'utf8')) as Row[];
const answer = (text: string): string => `<think>It is red.</think>\n\n<answer>${text}</answer>`;

describe('the released reward', () => {
  it.each(rows.map((row) => [JSON.stringify(row.response).slice(0, 70), row] as const))('of %s', (_, row) => {
    const { overall, format, accuracy } = reward(row.response, row.ground_truth);
    expect({ format, accuracy }).toEqual({ format: row.format, accuracy: row.accuracy });
    expect(overall).toBeCloseTo(row.overall, 12);
  });
});

describe('the strict accuracy', () => {
  const classes = ['petunia', 'mexican petunia', 'A300 / B4', 'great_dane'];
  it.each([
    ['petunia', 'petunia', 1],
    ['Petunia.', 'petunia', 1],
    ['mexican petunia', 'petunia', 0],
    ['mexican petunia', 'mexican petunia', 1],
    ['petunia', 'mexican petunia', 0],
    ['petunia, or a mexican petunia', 'petunia', 0],
    ['petunias', 'petunia', 0],
    ['a petunia', 'petunia', 1],
    ['A300/B4', 'A300 / B4', 1],
    ['Great Dane', 'great_dane', 1],
    ['', 'petunia', 0],
    ['rose', 'petunia', 0],
  ])('of "%s" where %s is right is %d', (text, label, strict) => {
    expect(reward(answer(text), label, { classes }).strict).toBe(strict);
  });

  it('counts in the whole where it is asked for', () => {
    const [released, strict] = (['released', 'strict'] as const).map((kind) =>
      reward(answer('petunia, mexican petunia'), 'petunia', { kind, classes }),
    );
    expect([released?.overall, strict?.overall]).toEqual([1, 0.1]);
  });
});
