import { block } from './threefry.ts';

/** A stream of random numbers; what it gives depends on its key and on how many were taken, and on nothing else. */
export interface Random {
  /** 32 random bits, from 0 to 2^32 - 1 */
  bits(): number;
  /** in [0, 1), in steps of 2^-32 */
  uniform(): number;
}

/**
 * The stream with a key: Threefry-2x32 with 20 rounds (J. Salmon et al., "Parallel random numbers: as easy as 1, 2,
 * 3", 2011) counts through it, so that streams of different keys share nothing.
 *
 * @param seed any integer; its low 32 bits count
 * @param purpose what the numbers are for, then integers: which picture, row, step ...
 */
export function createRandom(seed: number, purpose: string, ...indices: readonly number[]): Random {
  let key: [number, number] = [hash(purpose), seed | 0];
  for (const index of indices) key = block(...key, index, 1);
  const [k0, k1] = key;
  let counter = 0;
  let spare: number | undefined;
  const bits = (): number => {
    if (spare !== undefined) {
      const word = spare;
      spare = undefined;
      return word;
    }
    const [first, second] = block(k0, k1, counter++, 0);
    spare = second >>> 0;
    return first >>> 0;
  };
  return { bits, uniform: () => bits() * 2 ** -32 };
}

/** A number in [low, high). */
export const between = (random: Random, low: number, high: number): number =>
  low + (high - low) * random.uniform();

/** An integer from 0 to `count` - 1. */
export const integerBelow = (random: Random, count: number): number => Math.floor(random.uniform() * count);

/**
 * One of the values, each as likely.
 * @throws RangeError if there is none
 */
export function pick<T>(random: Random, values: readonly T[]): T {
  if (values.length === 0) throw new RangeError('There is nothing to pick from.');
  return values[integerBelow(random, values.length)] as T;
}

/** The values in another order, each order as likely (Fisher and Yates). */
export function shuffled<T>(random: Random, values: readonly T[]): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = integerBelow(random, i + 1);
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

/* FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value | 0;
}
