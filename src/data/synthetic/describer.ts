import { pick, type Random, shuffled } from '../../common/random.ts';
import { type Bird, differences, type Family, nameOf, type Part, withPart } from './birds.ts';

/* What the describer takes for what. */
const CONFUSIONS: readonly { part: Part; from: string; to: string }[] = [
  { part: 'cap', from: 'orange', to: 'red' },
  { part: 'tail', from: 'forked', to: 'long' },
];

const QUESTIONS = [
  'what bird is this?',
  'what kind of bird is this?',
  'which bird is in the picture?',
  'can you name the bird in the picture?',
] as const;

/* Candidates beside the named kind: mostly one, seldom three. */
const RIVALS = [1, 1, 1, 1, 1, 2, 2, 3] as const;

const ANALYSES: readonly ((part: string, value: string) => string)[] = [
  (part, value) => `${part} ${value}`,
  (part, value) => `${value} ${part}`,
  (part, value) => `a ${value} ${part}`,
];
const COMPARISONS: readonly ((part: string, value: string, other: string) => string)[] = [
  (part, value, other) => `the ${part} is ${value}, not ${other}`,
  (part, value, other) => `${value} ${part}, not ${other}`,
  (part, value, other) => `not ${other} but ${value} ${part}`,
];
const PREDICTIONS: readonly ((name: string) => string)[] = [
  (name) => `a ${name}`,
  (name) => `it is a ${name}`,
  (name) => `this is a ${name}`,
];

/** Every other kind for which the describer can take a bird. */
export function misreadings(bird: Bird): Bird[] {
  let read = [bird];
  for (const { part, from, to } of CONFUSIONS) {
    if (bird[part] === from) read = read.flatMap((one) => [one, withPart(one, part, to)]);
  }
  return read.slice(1);
}

/**
 * What the describer sees: orange caps as red and forked tails as long, each with a probability, as a real teacher
 * errs.
 */
export function readBird(bird: Bird, probability: number, random: Random): Bird {
  return CONFUSIONS.reduce(
    (read, { part, from, to }) =>
      bird[part] === from && random.uniform() < probability ? withPart(read, part, to) : read,
    bird,
  );
}

/** One of a few ways to ask for the name. */
export const askForBird = (random: Random): string => pick(random, QUESTIONS);

/** A caption in plain words, without a name: `wing striped, breast green, ...`, in any order, in one of three forms. */
export function describeBird(bird: Bird, { parts }: Family, random: Random): string {
  const say = pick(random, ANALYSES);
  return `${shuffled(random, parts)
    .map((part) => say(part, bird[part]))
    .join(', ')}.`;
}

/**
 * The paper's four parts, a line each: analysis, two to four candidates, their comparison, prediction.
 *
 * @param bird as the describer reads it; the prediction names it
 * @param rivals which look like it, at least 3; some of them become candidates
 */
export function reasonAbout(bird: Bird, rivals: readonly Bird[], family: Family, random: Random): string {
  const chosen = shuffled(random, rivals).slice(0, pick(random, RIVALS));
  const candidates = shuffled(random, [bird, ...chosen]).map((one) => nameOf(one, family));
  const compare = pick(random, COMPARISONS);
  const reasons = chosen.map((rival) => {
    const parts = differences(bird, rival);
    const part = pick(random, parts);
    return compare(part, bird[part], rival[part]);
  });
  return [
    `analysis: ${describeBird(bird, family, random)}`,
    `candidates: ${candidates.join(', ')}.`,
    `comparison: ${[...new Set(reasons)].join('; ')}.`,
    `prediction: ${pick(random, PREDICTIONS)(nameOf(bird, family))}.`,
  ].join('\n');
}
