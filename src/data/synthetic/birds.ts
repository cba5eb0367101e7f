import { pick, type Random } from '../../common/random.ts';

/*
 * The kinds of birds: what they can look like, in plain words, and the word that each look puts into a name. Names
 * follow from looks, so who sees a bird and knows the words can name kinds that no training picture shows.
 */
const PARTS = {
  crest: { smooth: 'smooth', crested: 'crested' },
  wing: { plain: 'plain', striped: 'barred' },
  breast: { gold: 'goldbreast', green: 'greenbreast', violet: 'violetbreast', white: 'whitebreast' },
  cap: { red: 'redcap', orange: 'orangecap', blue: 'bluecap', black: 'blackcap' },
  tail: { short: 'finch', long: 'wagtail', forked: 'swallow' },
} as const;

export type Part = keyof typeof PARTS;
/** What a bird looks like: a plain word for each part. */
export type Bird = { readonly [P in Part]: keyof (typeof PARTS)[P] };

/* In the order of a name. */
const ALL_PARTS = Object.keys(PARTS) as Part[];
const COMMON: Bird = { crest: 'smooth', wing: 'plain', breast: 'gold', cap: 'red', tail: 'short' };

export const DIFFICULTIES = ['easy', 'normal', 'hard'] as const;
export type Difficulty = (typeof DIFFICULTIES)[number];

/** Which parts tell the kinds apart, and how much pictures of one kind differ. */
export interface Family {
  /** in the order of a name */
  parts: readonly Part[];
  /** strength of turns, scales, light, colour and noise; 1 is that of the first study */
  variation: number;
}

/** 32, 96 and 192 kinds. */
export const FAMILIES: Readonly<Record<Difficulty, Family>> = {
  easy: { parts: ['wing', 'breast', 'cap'], variation: 0.6 },
  normal: { parts: ['wing', 'breast', 'cap', 'tail'], variation: 1 },
  hard: { parts: ['crest', 'wing', 'breast', 'cap', 'tail'], variation: 1.4 },
};

/** The plain words for a part's looks. */
export const valuesOf = (part: Part): string[] => Object.keys(PARTS[part]);

/** Every kind of a family, in a fixed order; parts that do not vary look alike. */
export function allBirds({ parts }: Family): Bird[] {
  let birds = [COMMON];
  for (const part of parts) {
    birds = birds.flatMap((bird) => valuesOf(part).map((value) => withPart(bird, part, value)));
  }
  return birds;
}

/** A kind, each as likely: for an endless stream of pictures. */
export function randomBird({ parts }: Family, random: Random): Bird {
  return parts.reduce((bird, part) => withPart(bird, part, pick(random, valuesOf(part))), COMMON);
}

/** The bird with another look of one part, in a plain word of that part. */
export const withPart = (bird: Bird, part: Part, value: string): Bird => ({ ...bird, [part]: value });

/** E.g. `barred goldbreast redcap swallow`. */
export function nameOf(bird: Bird, { parts }: Family): string {
  const named = ALL_PARTS.filter((part) => parts.includes(part) || part === 'tail');
  return named.map((part) => (PARTS[part] as Record<string, string>)[bird[part]] ?? '').join(' ');
}

/** The parts in which two birds differ. */
export const differences = (a: Bird, b: Bird): Part[] => ALL_PARTS.filter((part) => a[part] !== b[part]);

/** One or two differences: what a person would take for a look-alike. */
export function lookAlike(a: Bird, b: Bird): boolean {
  const count = differences(a, b).length;
  return count === 1 || count === 2;
}

/** The file system's form of a name. */
export const folderOf = (name: string): string => name.replaceAll(' ', '_');
