import { labelKey } from '../readers/classFolders.ts';

/**
 * A text as names are looked for in it: lower case, without possessive endings (the bird that one list calls Brewer
 * Sparrow is Brewer's Sparrow to others) and with single spaces for all that is no letter or digit.
 */
const searchable = (text: string): string =>
  text
    .replaceAll(/['’]s\b/g, '')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** Finds names in texts. */
export type NameFinder = (text: string) => string[];

/**
 * Looks for names that begin or end where a word does: "Leonbergers" names the Leonberger and "rosemallow" a mallow,
 * but "indicates" no cat.
 *
 * @returns a function that gives the names that occur in a text, in the order of `names`
 */
export function createNameFinder(names: Iterable<string>): NameFinder {
  const keys = [...names].map((name) => [name, searchable(name)] as const).filter(([, key]) => key !== '');
  return (text) => {
    const padded = ` ${searchable(text)} `;
    const isNamed = (key: string): boolean => padded.includes(` ${key}`) || padded.includes(`${key} `);
    return keys.filter(([, key]) => isNamed(key)).map(([name]) => name);
  };
}

/** Whether an answer that is `longer` would count as `name`: the paper's rule is that the name occurs in the answer. */
export function contains(longer: string, name: string): boolean {
  const [outer, inner] = [labelKey(longer), labelKey(name)];
  return outer !== inner && outer.includes(inner);
}

/** Pairs of names of which the first contains the second. */
export const containedNames = (names: readonly string[]): [string, string][] =>
  names.flatMap((outer) =>
    names.filter((inner) => contains(outer, inner)).map((inner): [string, string] => [outer, inner]),
  );
