import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/common/errors.ts';
import { type Constraint, type ConstraintState, createConstraint } from '../../src/model/constraint.ts';

const END = 99;
const [MEXICAN, PETUNIA, HYBRID, ROSE] = [1, 2, 3, 4];
const NAMES = [[PETUNIA], [MEXICAN, PETUNIA], [PETUNIA, HYBRID], [ROSE]];

const after = (constraint: Constraint, tokens: readonly number[]): ConstraintState =>
  tokens.reduce((state, token) => constraint.next(state, token), constraint.start());
const allowedAfter = (constraint: Constraint, ...tokens: number[]): number[] | undefined =>
  constraint
    .allowed(after(constraint, tokens))
    ?.slice()
    .sort((a, b) => a - b);

describe('a constraint from the beginning', () => {
  const constraint = createConstraint({ prefix: [], continuations: NAMES, ends: [END] });

  it('starts with the first token of a name', () => {
    expect(allowedAfter(constraint)).toEqual([MEXICAN, PETUNIA, ROSE]);
  });

  it('goes on as one of the names that began so', () => {
    expect(allowedAfter(constraint, MEXICAN)).toEqual([PETUNIA]);
  });

  it('may end or go on where a name is the beginning of another one', () => {
    expect(allowedAfter(constraint, PETUNIA)).toEqual([HYBRID, END]);
    expect(allowedAfter(constraint, PETUNIA, END)).toBeUndefined();
  });

  it('is free behind a name, and stays so', () => {
    expect(allowedAfter(constraint, ROSE)).toBeUndefined();
    expect(allowedAfter(constraint, PETUNIA, HYBRID)).toBeUndefined();
    // "petunia" ends a name here, but "hybrid" goes on after that of another one only.
    expect(allowedAfter(constraint, MEXICAN, PETUNIA)).toBeUndefined();
    expect(allowedAfter(constraint, ROSE, MEXICAN)).toBeUndefined();
  });
});

describe('a constraint behind a prefix', () => {
  const prefix = [7, 7, 8];
  const constraint = createConstraint({ prefix, continuations: NAMES, ends: [END] });

  it('is free until the whole prefix was generated', () => {
    for (const tokens of [[], [7], [7, 7], [7, 8], [5, 7, 8], [8, 7, 7]]) {
      expect(allowedAfter(constraint, ...tokens), tokens.join()).toBeUndefined();
    }
    expect(allowedAfter(constraint, 5, 7, 7, 8)).toEqual([MEXICAN, PETUNIA, ROSE]);
  });

  it('finds a prefix that begins within a match that fails', () => {
    expect(allowedAfter(constraint, 7, 7, 7, 8)).toEqual([MEXICAN, PETUNIA, ROSE]);
    const nested = createConstraint({ prefix: [1, 2, 1, 2, 3], continuations: [[4]], ends: [] });
    expect(allowedAfter(nested, 1, 2, 1, 2, 1, 2, 3)).toEqual([4]);
    expect(allowedAfter(nested, 1, 2, 1, 1, 2, 3)).toBeUndefined();
  });

  it('finds the prefix exactly where a search through the text does', () => {
    // All texts of 8 tokens out of two, for a prefix that overlaps with itself.
    const overlapping = [1, 0, 1, 1, 0];
    const search = createConstraint({ prefix: overlapping, continuations: [[9]], ends: [] });
    let found = 0;
    for (let bits = 0; bits < 256; bits++) {
      const text = Array.from({ length: 8 }, (_, i) => (bits >> i) & 1);
      const begin = text.join('').indexOf(overlapping.join(''));
      for (let length = 0; length <= 8 && (begin === -1 || length < begin + 5); length++) {
        expect(allowedAfter(search, ...text.slice(0, length)), text.slice(0, length).join()).toBeUndefined();
      }
      if (begin === -1) continue;
      found++;
      expect(allowedAfter(search, ...text.slice(0, begin + 5)), text.join()).toEqual([9]);
    }
    expect(found).toBeGreaterThan(20);
  });

  it('can follow two responses, each from its own states', () => {
    const one = after(constraint, [...prefix, MEXICAN]);
    const two = after(constraint, [...prefix, PETUNIA]);
    expect(constraint.allowed(one)).toEqual([PETUNIA]);
    expect(constraint.allowed(constraint.next(two, HYBRID))).toBeUndefined();
    expect(constraint.allowed(one)).toEqual([PETUNIA]);
  });
});

describe('the continuations of a constraint', () => {
  it('may have the same one twice', () => {
    const constraint = createConstraint({ prefix: [], continuations: [[1, 2], [1, 2]], ends: [] }); // prettier-ignore
    expect(allowedAfter(constraint, 1)).toEqual([2]);
    expect(allowedAfter(constraint, 1, 2)).toBeUndefined();
  });

  it('are at least one, and none is empty', () => {
    const create = (continuations: number[][]) => () =>
      createConstraint({ prefix: [1], continuations, ends: [] });
    expect(create([])).toThrow(ConfigError);
    expect(create([])).toThrow(/no continuations/);
    expect(create([[1], []])).toThrow(ConfigError);
    expect(create([[1], []])).toThrow(/Continuation 1 of a constraint is empty/);
  });

  it('are told apart by an end token where one is the beginning of another', () => {
    const create = (continuations: number[][], ends: number[]) => () =>
      createConstraint({ prefix: [], continuations, ends });
    const message =
      'Continuation 1 of a constraint, [1, 2], is the beginning of continuation 2, [1, 2, 3], and no stop token tells ' +
      'that it is over';
    expect(create([[4], [1, 2], [1, 2, 3]], [])).toThrow(ConfigError);
    expect(create([[4], [1, 2], [1, 2, 3]], [])).toThrow(message);
    // An end token that goes on with the longer one tells nothing.
    expect(create([[4], [1, 2], [1, 2, 3]], [3])).toThrow(message);
    expect(create([[4], [1, 2], [1, 2, 3]], [3, END])).not.toThrow();
    expect(create([[1, 2], [1, 3], [1, 2]], [])).not.toThrow(); // prettier-ignore
  });
});
