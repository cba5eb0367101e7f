import { describe, expect, it } from 'vitest';
import { arrangeOptions, positionBias } from '../../src/eval/options.ts';

const OPTIONS = ['a', 'b', 'c', 'd'];

describe('arrangeOptions', () => {
  it('leaves them as stored', () => {
    expect(arrangeOptions(OPTIONS, 'stored', 1, { file: 'x', row: 1 })).toEqual([OPTIONS]);
  });

  it('rotates: each option is at each place once', () => {
    expect(arrangeOptions(OPTIONS, 'rotations', 1, { file: 'x', row: 1 }).map((one) => one.join(''))).toEqual(
      ['abcd', 'bcda', 'cdab', 'dabc'],
    );
  });

  it('shuffles by seed, file and row, each place as likely', () => {
    const shuffle = (seed: number, file: string, row: number): string =>
      (arrangeOptions(OPTIONS, 'shuffled', seed, { file, row })[0] ?? []).join('');
    const orders = Array.from({ length: 400 }, (_, row) => shuffle(1, 'x', row + 1));
    expect(orders.every((order) => OPTIONS.every((one) => order.includes(one)) && order.length === 4)).toBe(
      true,
    );
    for (const place of [0, 1, 2, 3]) {
      const count = orders.filter((order) => order[place] === 'a').length;
      // 100 expected, with a standard deviation of 8.7.
      expect(Math.abs(count - 100), `a at ${place}`).toBeLessThan(35);
    }
    expect(shuffle(1, 'x', 7)).toBe(orders[6]);
    const others = [shuffle(2, 'x', 7), shuffle(3, 'x', 7), shuffle(1, 'y', 7), shuffle(1, 'x', 8)];
    expect(new Set(others).size).toBeGreaterThan(1);
  });
});

describe('positionBias', () => {
  it('shows a model that always takes the first option', () => {
    const answers = OPTIONS.flatMap((label) =>
      arrangeOptions(OPTIONS, 'rotations', 0, { file: 'x', row: 1 }).map((options) => {
        const first = options[0] as string;
        return { options, label, named: [first], strict: first === label };
      }),
    );
    expect(positionBias(answers)).toEqual([
      { position: 1, truths: 4, accuracy: 1, answered: 1 },
      { position: 2, truths: 4, accuracy: 0, answered: 0 },
      { position: 3, truths: 4, accuracy: 0, answered: 0 },
      { position: 4, truths: 4, accuracy: 0, answered: 0 },
    ]);
  });

  it('counts answers with one option only, and says where there is no truth', () => {
    const base = { options: ['a', 'b'], label: 'a', strict: false };
    const answers = [
      { ...base, named: ['a'], strict: true },
      { ...base, named: ['b'] },
      { ...base, named: ['a', 'b'] },
      { ...base, named: [] },
      { ...base, named: ['z'] },
    ];
    expect(positionBias(answers)).toEqual([
      { position: 1, truths: 5, accuracy: 0.2, answered: 0.5 },
      { position: 2, truths: 0, accuracy: undefined, answered: 0.5 },
    ]);
    expect(positionBias([])).toEqual([]);
  });
});
