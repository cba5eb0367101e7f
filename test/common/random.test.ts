import { describe, expect, it } from 'vitest';
import { between, createRandom, integerBelow, pick, type Random, shuffled } from '../../src/common/random.ts';
import { firstWord } from '../../src/common/threefry.ts';

const take = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.bits());

describe('random numbers', () => {
  it('are those of Threefry, two of each block', () => {
    const key = 0x811c9dc5; // FNV-1a of no text
    const numbers = take(createRandom(77, ''), 6);
    expect([numbers[0], numbers[2], numbers[4]]).toEqual(
      [0, 1, 2].map((counter) => firstWord(key, 77, counter) >>> 0),
    );
    expect(new Set(numbers).size).toBe(6);
  });

  it('depend on every part of the key, and on what was taken', () => {
    const streams = [
      createRandom(1, 'a'),
      createRandom(2, 'a'),
      createRandom(1, 'b'),
      createRandom(1, 'a', 0),
      createRandom(1, 'a', 1),
      createRandom(1, 'a', 0, 1),
      createRandom(1, 'a', 1, 0),
    ];
    const numbers = streams.flatMap((stream) => take(stream, 50));
    expect(new Set(numbers).size).toBe(350);
    expect(take(createRandom(1, 'a', 0, 1), 50)).toEqual(numbers.slice(250, 300));
  });

  it('are spread evenly', () => {
    const random = createRandom(3, 'spread');
    const values = Array.from({ length: 20_000 }, () => random.uniform());
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 / Math.sqrt(12 * values.length));
    const drawn = Array.from({ length: 20_000 }, () => integerBelow(random, 5));
    // 5 standard deviations of a count
    for (let i = 0; i < 5; i++) {
      expect(Math.abs(drawn.filter((value) => value === i).length - 4000)).toBeLessThan(285);
    }
    const scaled = Array.from({ length: 1000 }, () => between(random, -2, 4));
    expect(Math.min(...scaled)).toBeGreaterThanOrEqual(-2);
    expect(Math.min(...scaled)).toBeLessThan(-1.9);
    expect(Math.max(...scaled)).toBeLessThan(4);
    expect(Math.max(...scaled)).toBeGreaterThan(3.9);
  });

  it('shuffle into every order about as often', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = shuffled(createRandom(5, 'shuffle', i), ['a', 'b', 'c']).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(['abc', 'acb', 'bac', 'bca', 'cab', 'cba']);
    // 5 standard deviations of a count
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });

  it('pick nothing from nothing', () => {
    expect(() => pick(createRandom(0, 'x'), [])).toThrow(RangeError);
  });
});
