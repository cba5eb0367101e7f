import { describe, expect, it } from 'vitest';
import { ARTISTS } from '../../experiments/emoji/artists.ts';
import { alike, conversations, type Kind, pictureOf, splitKinds } from '../../experiments/emoji/plan.ts';

const NAMES = [
  'cat',
  'cat face',
  'dog',
  'dog face',
  'tiger',
  'tiger face',
  'wolf',
  'fox',
  'owl',
  'duck',
  'bat',
  'bear',
];
const kinds = NAMES.map((name): Kind => ({ name, train: ARTISTS.train, test: ['emojione', 'fxemoji'] }));
const { seen, unseen } = splitKinds(kinds, 1);
const rows = conversations(seen, 'What is this?', 1);

describe('the sets of emoji', () => {
  it('leave a third of the kinds unseen, and name none of them in what is trained on', () => {
    expect(unseen).toHaveLength(4);
    expect([...seen, ...unseen].map(({ name }) => name).sort()).toEqual([...NAMES].sort());
    const trained = JSON.stringify(rows).replaceAll('_', ' ');
    for (const { name } of unseen) expect(trained).not.toContain(name);
    for (const { name } of seen) expect(trained).toContain(name);
  });

  it('have a conversation for each training picture, with the right name among four candidates', () => {
    expect(rows).toHaveLength(seen.length * ARTISTS.train.length);
    rows.forEach(({ messages, images }, i) => {
      const kind = seen[Math.floor(i / ARTISTS.train.length)] as Kind;
      const [question, answer] = messages.map(({ content }) => content) as [string, string];
      expect(images).toEqual([
        pictureOf('train', kind.name, ARTISTS.train[i % ARTISTS.train.length] as string),
      ]);
      expect(question.startsWith('<image>What is this?')).toBe(true);
      expect(question.includes(' options: ')).toBe(i % 2 === 1);
      expect(answer.endsWith(`</think>\n\n<answer>${kind.name}</answer>`)).toBe(true);
      const candidates = /candidates: (.*)\.\n/.exec(answer)?.[1]?.split(', ');
      expect(new Set(candidates).size).toBe(4);
      expect(candidates).toContain(kind.name);
    });
  });

  it('take names for alike by shared words first, then by letters; words of many names do not count', () => {
    expect(alike('cat face', NAMES)[0]).toBe('cat');
    expect(alike('cat', NAMES).slice(0, 2)).toEqual(['cat face', 'bat']);
  });

  it('keep a house that drew twice on one side', () => {
    const houses = (artists: readonly string[]): string[] =>
      artists.map((artist) => artist.replace(/-v1$/, ''));
    expect(houses(ARTISTS.test).filter((house) => houses(ARTISTS.train).includes(house))).toEqual([]);
  });
});
