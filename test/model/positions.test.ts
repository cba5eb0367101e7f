import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/common/errors.ts';
import { parseModelConfig } from '../../src/config/model.ts';
import { readJson } from '../../src/common/json.ts';
import { type Row, ropeIndex } from '../../src/model/positions.ts';
import { MODELS } from './support.ts';

const FILE = `${MODELS}tiny-a/config.json`;
const CONFIG = parseModelConfig(readJson(FILE), FILE);
const IMAGE = CONFIG.imageTokenId;

const image = (tokens: number): number[] => Array.from({ length: tokens }, () => IMAGE);
const positions = (row: Row): { thw: number[][]; next: number } => {
  const { thw, next } = ropeIndex(row, CONFIG, 0);
  return { thw: thw.map((axis) => [...axis]), next };
};

describe('ropeIndex', () => {
  it('counts text up on all axes', () => {
    const counted = [0, 1, 2];
    expect(positions({ ids: [4, 5, 6], grids: [] })).toEqual({ thw: [counted, counted, counted], next: 3 });
  });

  it('spreads an image over rows and columns, and goes on behind the longer one', () => {
    expect(positions({ ids: [4, ...image(6), 5], grids: [[1, 4, 6]] })).toEqual({
      thw: [
        [0, 1, 1, 1, 1, 1, 1, 4],
        [0, 1, 1, 1, 2, 2, 2, 4],
        [0, 1, 2, 3, 1, 2, 3, 4],
      ],
      next: 5,
    });
  });

  it('puts an image right behind another one', () => {
    expect(
      positions({
        ids: [...image(2), ...image(2)],
        grids: [
          [1, 2, 4],
          [1, 4, 2],
        ],
      }),
    ).toEqual({
      // prettier-ignore
      thw: [
        [0, 0, 2, 2],
        [0, 0, 2, 3],
        [0, 1, 2, 2],
      ],
      next: 4,
    });
  });

  it.each<[string, Row, string]>([
    [
      'more images in the text than were given',
      { ids: [...image(4), 5, ...image(4)], grids: [[1, 4, 4]] },
      'Sequence 3 has image tokens for more than the 1 images that were given',
    ],
    [
      'fewer images in the text than were given',
      { ids: [...image(4), 5], grids: [[1, 4, 4], [1, 2, 2]] }, // prettier-ignore
      'Sequence 3 has image tokens for 1 images, but 2 were given',
    ],
    [
      'an image with too few tokens',
      { ids: [6, ...image(3), 5], grids: [[1, 4, 4]] },
      'Image 1 of sequence 3 has 3 image tokens in a row, from token 1 on; its grid asks for 4',
    ],
    [
      'an image that is cut at the end',
      { ids: image(3), grids: [[1, 4, 4]] },
      'Image 1 of sequence 3 has 3 image tokens in a row, from token 0 on; its grid asks for 4',
    ],
    [
      'text within an image',
      { ids: [...image(4), ...image(1), 5, ...image(3)], grids: [[1, 4, 4], [1, 4, 4]] }, // prettier-ignore
      'Image 2 of sequence 3 has 1 image tokens in a row, from token 4 on; its grid asks for 4',
    ],
  ])('refuses %s', (_, row, message) => {
    expect(() => ropeIndex(row, CONFIG, 3)).toThrow(DataError);
    expect(() => ropeIndex(row, CONFIG, 3)).toThrow(message);
  });
});
