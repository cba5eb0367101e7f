import { describe, expect, it } from 'vitest';
import { containedNames, contains, createNameFinder } from '../../../src/data/check/names.ts';

describe('names in a text', () => {
  const find = createNameFinder(['Brewer Sparrow', 'Leonberg', 'mallow', 'cat', 'Ford F-150', '']);

  it.each([
    ["It could be Brewer's sparrow.", ['Brewer Sparrow']],
    ['a Brewer\u2019s  Sparrow_', ['Brewer Sparrow']],
    ['Leonbergers are large', ['Leonberg']],
    ['a swamp rosemallow', ['mallow']],
    ['the FORD F 150, and a cat', ['cat', 'Ford F-150']],
    ['this indicates wings', []],
    ['Brewer Blackbird, Song Sparrow', []],
  ])('of "%s"', (text, names) => {
    expect(find(text)).toEqual(names);
  });
});

describe('a name within another', () => {
  it('is found whatever the case, but not in itself', () => {
    expect(contains('mexican petunia', 'Petunia')).toBe(true);
    expect(contains('Petunia', 'petunia')).toBe(false);
    expect(containedNames(['petunia', 'Mexican Petunia', 'rose'])).toEqual([['Mexican Petunia', 'petunia']]);
  });
});
