import { createRandom, type Random, shuffled } from '../../common/random.ts';
import { allBirds, type Bird, differences, type Family, lookAlike, valuesOf } from './birds.ts';
import { misreadings } from './describer.ts';

/** Which kinds are for what. */
export interface Split {
  /** half of all: with training pictures */
  seen: Bird[];
  /** a quarter: with test pictures only, and with no word in a training text */
  unseen: Bird[];
  /** the rest, without pictures: for candidates and options */
  spare: Bird[];
}

const OPTIONS = 4;
const MAX_TRIES = 100_000;

/**
 * Splits a family's kinds by seed, so that every look occurs about as often among the seen and among the unseen as
 * among all, and kinds that the describer misreads exactly as often; every seen kind has a seen one that differs in one
 * part only, and no misreading of a seen kind is unseen.
 */
export function splitBirds(family: Family, seed: number): Split {
  const birds = allBirds(family);
  const misread = new Set(birds.filter((bird) => misreadings(bird).length > 0));
  const shareOf = (group: readonly Bird[]): number =>
    group.filter((bird) => misread.has(bird)).length / group.length;
  const isFair = (group: readonly Bird[]): boolean =>
    shareOf(group) === shareOf(birds) && isEven(group, family);
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const order = shuffled(createRandom(seed, 'split', attempt), birds);
    const seen = order.slice(0, birds.length / 2);
    if (!isFair(seen) || seen.some((bird) => neighbours(bird, seen).length === 0)) continue;
    const taken = new Set([...seen, ...seen.flatMap(misreadings)].map(keyOf));
    const unseen = order.filter((bird) => !taken.has(keyOf(bird))).slice(0, birds.length / 4);
    if (unseen.length < birds.length / 4 || !isFair(unseen)) continue;
    const spare = order.filter((bird) => !seen.includes(bird) && !unseen.includes(bird));
    return { seen, unseen, spare };
  }
  throw new RangeError(`No even split of ${birds.length} kinds was found in ${MAX_TRIES} tries.`);
}

/** Those that differ from the bird in one part only: the most similar ones. */
export const neighbours = (bird: Bird, among: readonly Bird[]): Bird[] =>
  among.filter((other) => differences(bird, other).length === 1);

/**
 * Four kinds, shuffled, any two of which differ in one or two parts. All such fours that hold the given kinds are as
 * likely, so none of the four stands out as the one in the middle.
 *
 * @param given one kind, or two that differ in one or two parts
 */
export function drawOptions(given: readonly Bird[], pool: readonly Bird[], random: Random): Bird[] {
  const near = pool.filter((bird) => given.every((one) => lookAlike(bird, one)));
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const drawn = shuffled(random, near).slice(0, OPTIONS - given.length);
    const options = [...given, ...drawn];
    if (
      options.length === OPTIONS &&
      drawn.every((bird, i) => drawn.slice(i + 1).every((other) => lookAlike(bird, other)))
    ) {
      return shuffled(random, options);
    }
  }
  throw new RangeError(`No ${OPTIONS} look-alikes were found in ${MAX_TRIES} tries.`);
}

const keyOf = (bird: Bird): string => Object.values(bird).join(' ');

/* Every look of a part is within half and one and a half times its share. */
function isEven(birds: readonly Bird[], { parts }: Family): boolean {
  return parts.every((part) => {
    const values = valuesOf(part);
    return values.every((value) => {
      const share = (birds.filter((bird) => bird[part] === value).length * values.length) / birds.length;
      return share >= 0.5 && share <= 1.5;
    });
  });
}
