/**
 * The known classes that a text names: whole words, no case, `_` as a space, white space around `<`, `>` and `/` left
 * out. A name that only occurs inside of a longer known one is not named ("petunia" in "mexican petunia").
 *
 * @param classes repeated names count once
 * @returns in the order of their first occurrence, as they were given
 */
export function namedClasses(text: string, classes: readonly string[]): string[] {
  const inText = normalised(text);
  const names = new Map(classes.map((name) => [normalised(name), name]));
  const longestFirst = [...names.keys()].filter((key) => key !== '').sort((a, b) => b.length - a.length);
  const taken: { key: string; from: number; to: number }[] = [];
  for (const key of longestFirst) {
    for (let from = inText.indexOf(key); from !== -1; from = inText.indexOf(key, from + 1)) {
      const to = from + key.length;
      const isInside = taken.some((other) => other.from <= from && to <= other.to);
      if (!isInside && isWhole(inText, from, to)) taken.push({ key, from, to });
    }
  }
  taken.sort((a, b) => a.from - b.from);
  return [...new Set(taken.map(({ key }) => names.get(key) as string))];
}

const WORD = /[\p{L}\p{N}]/u;

/* A match is not part of a longer word. */
const isWhole = (text: string, from: number, to: number): boolean =>
  !(WORD.test(text[from - 1] ?? '') && WORD.test(text[from] ?? '')) &&
  !(WORD.test(text[to - 1] ?? '') && WORD.test(text[to] ?? ''));

const normalised = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll('_', ' ')
    .replaceAll(/\s*([<>/])\s*/gu, '$1')
    .replaceAll(/\s+/gu, ' ')
    .trim();
