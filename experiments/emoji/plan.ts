import { distance } from 'fastest-levenshtein';
import { createRandom, shuffled } from '../../src/common/random.ts';
import { withOptions } from '../../src/data/text/question.ts';

/** An emoji with who drew it. */
export interface Kind {
  /** Unicode's, in small letters */
  name: string;
  train: readonly string[];
  test: readonly string[];
}

/** What is asked for in a domain, and which of Unicode's subgroups it is. */
export const DOMAINS = {
  faces: { subgroups: /^(face|cat-face|monkey-face)/, question: 'What is the name of this emoji face?' },
  animals: { subgroups: /^animal/, question: 'What is the name of this animal emoji?' },
} as const;
export type Domain = keyof typeof DOMAINS;

/** A row of `sft.json`. */
export interface Conversation {
  messages: { role: 'user' | 'assistant'; content: string }[];
  images: [string];
}

const UNSEEN_SHARE = 1 / 3;
const OPTIONS = 4;
/* Words that make no two names alike. */
const COMMON = new Set(['face', 'with', 'of', 'on', 'in', 'and', 'the']);

/** Where a picture is, in the layout of a folder per class. */
export const pictureOf = (split: 'train' | 'test', name: string, artist: string): string =>
  `${split}/${name.replaceAll(' ', '_')}/${artist}.png`;

/**
 * Draws by seed which third of the kinds has no training picture. None of them has a name that another one contains: "cat" is
 * named wherever "cat face" is.
 */
export function splitKinds<T extends { name: string }>(
  kinds: readonly T[],
  seed: number,
): { seen: T[]; unseen: T[] } {
  const isWithin = ({ name }: T): boolean =>
    kinds.some((other) => other.name !== name && other.name.includes(name));
  const free = kinds.filter((kind) => !isWithin(kind));
  const count = Math.round(kinds.length * UNSEEN_SHARE);
  const chosen = new Set(shuffled(createRandom(seed, 'unseen'), free).slice(0, count));
  return {
    seen: kinds.filter((kind) => !chosen.has(kind)),
    unseen: kinds.filter((kind) => chosen.has(kind)),
  };
}

/**
 * Conversations on the training pictures in the paper's form. They name the most alike names as candidates and the right one;
 * nobody looked at the pictures, so nothing is said of them. Every second question lists names to choose from.
 */
export function conversations(seen: readonly Kind[], question: string, seed: number): Conversation[] {
  const names = seen.map(({ name }) => name);
  return seen.flatMap(({ name, train }, kind) =>
    train.map((artist, number): Conversation => {
      const draw = (purpose: string): string[] =>
        shuffled(createRandom(seed, purpose, kind, number), [
          name,
          ...alike(name, names).slice(0, OPTIONS - 1),
        ]);
      const asked = number % 2 === 0 ? question : withOptions(question, draw('options'));
      const thought = `candidates: ${draw('candidates').join(', ')}.\nprediction: ${name}.`;
      return {
        messages: [
          { role: 'user', content: `<image>${asked}` },
          { role: 'assistant', content: `<think> ${thought} </think>\n\n<answer>${name}</answer>` },
        ],
        images: [pictureOf('train', name, artist)],
      };
    }),
  );
}

const wordsOf = (name: string): string[] => name.split(/[ -]/).filter((word) => !COMMON.has(word));

/** The other names, the most alike first: those that share most words, among these those with the fewest changed letters. */
export function alike(name: string, names: readonly string[]): string[] {
  const words = wordsOf(name);
  return names
    .filter((other) => other !== name)
    .map((other) => ({
      other,
      shared: wordsOf(other).filter((word) => words.includes(word)).length,
      changed: distance(name, other),
    }))
    .sort((a, b) => b.shared - a.shared || a.changed - b.changed)
    .map(({ other }) => other);
}
