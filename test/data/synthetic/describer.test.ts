import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/common/random.ts';
import {
  allBirds,
  type Bird,
  differences,
  FAMILIES,
  lookAlike,
  nameOf,
} from '../../../src/data/synthetic/birds.ts';
import { describeBird, misreadings, readBird, reasonAbout } from '../../../src/data/synthetic/describer.ts';

const { normal } = FAMILIES;
const birds = allBirds(normal);
const GOLDEN: Bird = { crest: 'smooth', wing: 'plain', breast: 'gold', cap: 'orange', tail: 'forked' };

describe('the describer', () => {
  it.each([0, 0.3, 0.7, 1])(
    'misreads each look that it can with probability %d, and no other',
    (probability) => {
      const random = createRandom(1, 'read');
      const rounds = 2000;
      const wrong = { cap: 0, tail: 0 };
      for (let i = 0; i < rounds; i++) {
        const read = readBird(GOLDEN, probability, random);
        for (const part of differences(GOLDEN, read)) wrong[part as 'cap' | 'tail']++;
        expect([GOLDEN, ...misreadings(GOLDEN)]).toContainEqual(read);
      }
      const deviation = Math.sqrt(probability * (1 - probability) * rounds);
      for (const count of [wrong.cap, wrong.tail]) {
        expect(Math.abs(count - probability * rounds)).toBeLessThanOrEqual(4 * deviation);
      }
    },
  );

  it('reads every other bird as it is', () => {
    const sure = birds.filter(({ cap, tail }) => cap !== 'orange' && tail !== 'forked');
    expect(sure).toHaveLength(48);
    for (const bird of sure) {
      expect(readBird(bird, 1, createRandom(1, 'read'))).toEqual(bird);
      expect(misreadings(bird)).toEqual([]);
    }
  });

  it('captions in plain words, in any order and several forms, without a name', () => {
    const captions = Array.from({ length: 200 }, (_, i) =>
      describeBird(GOLDEN, normal, createRandom(2, 'caption', i)),
    );
    expect(captions).toContain('wing plain, breast gold, cap orange, tail forked.');
    expect(new Set(captions).size).toBeGreaterThan(50); // of 24 orders in 3 forms
    for (const caption of captions) {
      expect([...caption.matchAll(/\b(wing|breast|cap|tail)\b/g)].map(([word]) => word).sort()).toEqual([
        'breast',
        'cap',
        'tail',
        'wing',
      ]);
      for (const word of ['plain', 'gold', 'orange', 'forked']) expect(caption).toContain(word);
      expect(caption).not.toMatch(/goldbreast|orangecap|swallow/);
    }
  });

  it('reasons in four parts: each candidate but the predicted one is ruled out by a look that it lacks', () => {
    const form = /^analysis: (.+)\.\ncandidates: (.+)\.\ncomparison: (.+)\.\nprediction: (.+)\.$/;
    const sizes = new Set<number>();
    birds.forEach((bird, i) => {
      const rivals = birds.filter((other) => lookAlike(bird, other));
      const text = reasonAbout(bird, rivals, normal, createRandom(3, 'reason', i));
      const [, analysis, candidates, comparison, prediction] = form.exec(text) ?? expect.fail(text);
      const named = (candidates ?? '').split(', ');
      sizes.add(named.length);
      expect(named).toContain(nameOf(bird, normal));
      expect(new Set(named).size).toBe(named.length);
      expect(
        (prediction ?? '').endsWith(` a ${nameOf(bird, normal)}`) ||
          prediction === `a ${nameOf(bird, normal)}`,
      ).toBe(true);
      for (const part of normal.parts) expect(analysis).toContain(bird[part]);
      for (const name of named.filter((other) => other !== nameOf(bird, normal))) {
        const rival = rivals.find((other) => nameOf(other, normal) === name) ?? expect.fail(name);
        expect(
          differences(bird, rival).some((part) =>
            (comparison ?? '')
              .split('; ')
              .some((reason) => reason.includes(`not ${rival[part]}`) && reason.includes(bird[part])),
          ),
        ).toBe(true);
      }
    });
    expect([...sizes].sort()).toEqual([2, 3, 4]);
  });
});
