import { distance } from 'fastest-levenshtein';

/* One slip of the pen in so many letters still is the same word. */
const LETTERS_PER_SLIP = 2;

/** The word that was probably meant: the nearest by edit distance, upper and lower case alike; undefined if none is near. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  const [nearest] = known
    .map((name) => ({ name, slips: distance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, slips }) => slips <= Math.max(word.length, name.length) / LETTERS_PER_SLIP)
    .sort((a, b) => a.slips - b.slips);
  return nearest?.name;
}
