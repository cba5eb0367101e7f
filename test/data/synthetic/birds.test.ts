import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/common/random.ts';
import {
  allBirds,
  DIFFICULTIES,
  FAMILIES,
  nameOf,
  randomBird,
  valuesOf,
} from '../../../src/data/synthetic/birds.ts';

describe.each(DIFFICULTIES)('the %s family', (difficulty) => {
  const family = FAMILIES[difficulty];
  const birds = allBirds(family);
  const names = birds.map((bird) => nameOf(bird, family));

  it('has every combination of looks once', () => {
    const product = family.parts.reduce((count, part) => count * valuesOf(part).length, 1);
    expect(birds).toHaveLength(product);
    expect(product).toBe({ easy: 32, normal: 96, hard: 192 }[difficulty]);
    expect(new Set(birds.map((bird) => JSON.stringify(bird))).size).toBe(product);
  });

  it('has a name for each, none of which contains another', () => {
    for (const name of names) expect(names.filter((other) => other.includes(name))).toEqual([name]);
  });

  it('gives each look its own word, so that a name tells the looks', () => {
    for (const part of family.parts) {
      const words = valuesOf(part).map((value) => {
        const [first, ...others] = birds
          .filter((bird) => bird[part] === value)
          .map((bird) => nameOf(bird, family).split(' '));
        return (first ?? []).filter((word) => others.every((other) => other.includes(word)));
      });
      const own = words.map((list) =>
        list.filter((word) => words.filter((l) => l.includes(word)).length === 1),
      );
      for (const list of own) expect(list).toHaveLength(1);
    }
  });

  it('is drawn from without end, each kind about as often', () => {
    const random = createRandom(4, 'kinds');
    const counts = new Map<string, number>();
    for (let i = 0; i < 100 * birds.length; i++) {
      const name = nameOf(randomBird(family, random), family);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([...names].sort());
    // 5 standard deviations of a count
    for (const count of counts.values()) expect(Math.abs(count - 100)).toBeLessThan(50);
  });
});

it('names what a bird looks like', () => {
  const bird = { crest: 'smooth', wing: 'striped', breast: 'gold', cap: 'red', tail: 'forked' } as const;
  expect(nameOf(bird, FAMILIES.normal)).toBe('barred goldbreast redcap swallow');
  expect(nameOf(bird, FAMILIES.hard)).toBe('smooth barred goldbreast redcap swallow');
});
