import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/common/errors.ts';
import { parseModelConfig } from '../../src/config/model.ts';
import { readJson } from '../../src/common/json.ts';
import { contentStreams, layOutText, type ModelInputs, roundLength, rowsOf } from '../../src/model/inputs.ts';
import { CASES, MODELS, readCase } from './support.ts';

const FILE = `${MODELS}tiny-a/config.json`;
const CONFIG = parseModelConfig(readJson(FILE), FILE);
const IMAGE = CONFIG.imageTokenId;
const WIDTH = 1176;

/** Two rows, padded on either side, with one picture of 4 tokens in each. */
function twoRows(): ModelInputs {
  return {
    inputIds: [
      [0, 0, 5, IMAGE, IMAGE, IMAGE, IMAGE, 6],
      [7, IMAGE, IMAGE, IMAGE, IMAGE, 8, 9, 0],
    ],
    attentionMask: [
      [0, 0, 1, 1, 1, 1, 1, 1],
      [1, 1, 1, 1, 1, 1, 1, 0],
    ],
    pixelValues: new Float32Array(2 * 16 * WIDTH).fill(0.5),
    imageGridThw: [
      [1, 4, 4],
      [1, 2, 8],
    ],
  };
}

describe('rowsOf', () => {
  it('takes the padding off and gives each row its own images', () => {
    const rows = rowsOf(twoRows(), CONFIG);
    expect(rows).toEqual([
      { ids: [5, IMAGE, IMAGE, IMAGE, IMAGE, 6], grids: [[1, 4, 4]] },
      { ids: [7, IMAGE, IMAGE, IMAGE, IMAGE, 8, 9], grids: [[1, 2, 8]] },
    ]);
  });

  it('does not look at the tokens of padding', () => {
    const inputs = twoRows();
    inputs.inputIds[0]?.splice(0, 2, -100, 1e9);
    expect(rowsOf(inputs, CONFIG)).toEqual(rowsOf(twoRows(), CONFIG));
  });

  it.each<[string, (inputs: ModelInputs) => void, string]>([
    [
      'no rows',
      (inputs) => Object.assign(inputs, { inputIds: [], attentionMask: [] }),
      'inputIds has no sequence',
    ],
    [
      'a mask with fewer rows',
      (inputs) => inputs.attentionMask.pop(),
      'attentionMask has 1 rows; inputIds has 2',
    ],
    [
      'a mask with more rows',
      (inputs) => inputs.attentionMask.push([1]),
      'attentionMask has 3 rows; inputIds has 2',
    ],
    [
      'ragged rows',
      (inputs) => [inputs.inputIds[1]?.pop(), inputs.attentionMask[1]?.pop()],
      'inputIds[1] has 7 places; inputIds[0] has 8. Pad the sequences to one length',
    ],
    [
      'a mask of another length',
      (inputs) => inputs.attentionMask[1]?.pop(),
      'attentionMask[1] has 7 places; inputIds[1] has 8',
    ],
    [
      'a mask that is neither 0 nor 1',
      (inputs) => inputs.attentionMask[0]?.splice(3, 1, 2),
      'attentionMask[0][3] is 2; 1 (a token) or 0 (padding) was expected',
    ],
    [
      'a row without tokens',
      (inputs) => inputs.attentionMask[1]?.fill(0),
      'inputIds[1] has no token that counts: its mask is 0 throughout',
    ],
    [
      'rows of no length',
      (inputs) => Object.assign(inputs, { inputIds: [[]], attentionMask: [[]] }),
      'inputIds[0] has no token that counts',
    ],
    [
      'a hole in the mask',
      (inputs) => inputs.attentionMask[0]?.splice(4, 1, 0),
      'attentionMask[0] is 0 at place 4, between tokens that count (places 2 and 7)',
    ],
    [
      'a token behind the vocabulary',
      (inputs) => inputs.inputIds[1]?.splice(5, 1, 1000),
      "inputIds[1] holds 1000 as its token 5; the model's vocabulary has 1000 tokens",
    ],
    [
      'a negative token',
      (inputs) => inputs.inputIds[0]?.splice(2, 1, -1),
      'inputIds[0] holds -1 as its token 0',
    ],
    [
      'half a token',
      (inputs) => inputs.inputIds[0]?.splice(7, 1, 0.5),
      'inputIds[0] holds 0.5 as its token 5',
    ],
    [
      'more image tokens than a picture has',
      (inputs) => inputs.inputIds[0]?.splice(7, 1, IMAGE),
      'inputIds[0] has 5 image tokens, but the 2 images that are there for it ask for 8',
    ],
    [
      'fewer image tokens than a picture has',
      (inputs) => inputs.inputIds[1]?.splice(4, 1, 3),
      'inputIds[1] has 3 image tokens, but the 1 images that are there for it ask for 4',
    ],
    [
      'image tokens for a picture that is not there',
      (inputs) => {
        inputs.imageGridThw.pop();
        inputs.pixelValues = new Float32Array(16 * WIDTH);
      },
      'inputIds[1] has 4 image tokens, but the 0 images that are there for it ask for 0',
    ],
    [
      'image tokens without any picture',
      (inputs) => Object.assign(inputs, { imageGridThw: [], pixelValues: null }),
      'inputIds[0] has 4 image tokens, but the 0 images',
    ],
    [
      'a picture that no row asks for',
      (inputs) => inputs.inputIds[1]?.fill(3),
      '2 images were given; the sequences have image tokens for 1',
    ],
    [
      'too few patches',
      (inputs) => (inputs.pixelValues = new Float32Array(31 * WIDTH)),
      `pixelValues holds ${31 * WIDTH} values; the grids in imageGridThw ask for 32 patches of 1176, ${32 * WIDTH}`,
    ],
    [
      'part of a patch too much',
      (inputs) => (inputs.pixelValues = new Float32Array(32 * WIDTH + 1)),
      `pixelValues holds ${32 * WIDTH + 1} values`,
    ],
    ['no pixels', (inputs) => (inputs.pixelValues = null), 'pixelValues holds 0 values'],
    [
      'pixels without a grid',
      (inputs) => (inputs.imageGridThw = []),
      `pixelValues holds ${32 * WIDTH} values; the grids in imageGridThw ask for 0 patches`,
    ],
    [
      'a pixel that is not a number',
      (inputs) => inputs.pixelValues?.fill(NaN, 17 * WIDTH + 3, 17 * WIDTH + 4),
      'pixelValues holds NaN in patch 17 (value 3 of 1176); finite numbers were expected',
    ],
    [
      'an infinite pixel',
      (inputs) => inputs.pixelValues?.fill(-Infinity, 0, 1),
      'holds -Infinity in patch 0',
    ],
    [
      'a grid of odd size',
      (inputs) => inputs.imageGridThw[1]?.splice(1, 1, 3),
      'imageGridThw[1] is [1, 3, 8]; three whole numbers above 0 were expected, rows and columns multiples of 2',
    ],
    ['an empty grid', (inputs) => inputs.imageGridThw[0]?.splice(0, 1, 0), 'imageGridThw[0] is [0, 4, 4]'],
    ['a grid of two numbers', (inputs) => inputs.imageGridThw[0]?.pop(), 'imageGridThw[0] is [1, 4]'],
    [
      'a grid of four numbers',
      (inputs) => inputs.imageGridThw[0]?.push(2),
      'imageGridThw[0] is [1, 4, 4, 2]',
    ],
    [
      'a grid of no whole numbers',
      (inputs) => inputs.imageGridThw[0]?.splice(0, 1, 1.5),
      'imageGridThw[0] is [1.5, 4, 4]',
    ],
  ])('refuses %s', (_, spoil, message) => {
    const inputs = twoRows();
    spoil(inputs);
    expect(() => rowsOf(inputs, CONFIG)).toThrow(DataError);
    expect(() => rowsOf(inputs, CONFIG)).toThrow(message);
  });
});

describe('layOutText', () => {
  it.each(CASES)('lays %s out with the positions of transformers', (name) => {
    const { inputs, golden } = readCase('tiny-a', name);
    const rows = rowsOf(inputs, CONFIG);
    const { positions, length, lengths, ids, next } = layOutText(rows, CONFIG);
    const [expected, deltas] = [golden['text.position_ids'], golden['text.rope_deltas']];
    const width = inputs.inputIds[0]?.length as number;
    inputs.attentionMask.forEach((mask, b) => {
      const attended = mask.flatMap((value, l) => (value === 1 ? [l] : []));
      expect(lengths[b]).toBe(attended.length);
      expect([...ids.subarray(b * length, b * length + attended.length)]).toEqual(
        attended.map((l) => inputs.inputIds[b]?.[l]),
      );
      for (let axis = 0; axis < 3; axis++) {
        const from = (axis * rows.length + b) * length;
        expect([...positions.subarray(from, from + attended.length)]).toEqual(
          attended.map((l) => expected?.data[(axis * rows.length + b) * width + l]),
        );
      }
      expect(next[b]).toBe(attended.length + (deltas?.data[b] as number));
    });
  });

  it('names the row whose image tokens are torn apart', () => {
    const inputs = twoRows();
    inputs.inputIds[1] = [7, IMAGE, IMAGE, 8, IMAGE, IMAGE, 9, 0];
    expect(() => layOutText(rowsOf(inputs, CONFIG), CONFIG)).toThrow(
      'Image 1 of sequence 1 has 2 image tokens in a row, from token 1 on; its grid asks for 4',
    );
  });
});

it('lengths are rounded up by less than 32 places, and by a quarter at most from 256 on', () => {
  for (let length = 1; length <= 5000; length++) {
    const rounded = roundLength(length);
    expect(rounded).toBeGreaterThanOrEqual(length);
    expect(rounded - length).toBeLessThan(length <= 256 ? 32 : length / 4);
    expect(roundLength(rounded)).toBe(rounded);
  }
});

describe('contentStreams', () => {
  it('depend on the tokens and pixels of a row alone', () => {
    const both = contentStreams(twoRows(), CONFIG);
    const alone = twoRows();
    const second: ModelInputs = {
      inputIds: [[7, IMAGE, IMAGE, IMAGE, IMAGE, 8, 9]],
      attentionMask: [[1, 1, 1, 1, 1, 1, 1]],
      pixelValues: (alone.pixelValues as Float32Array).slice(16 * WIDTH),
      imageGridThw: alone.imageGridThw.slice(1),
    };
    expect(contentStreams(second, CONFIG)).toEqual([both[1]]);
    second.pixelValues?.fill(0.25, 16 * WIDTH - 1);
    expect(contentStreams(second, CONFIG)).not.toEqual([both[1]]);
  });

  it('tell equal prompts apart by their order', () => {
    const [first, second] = contentStreams(
      { inputIds: [[1, 2], [1, 2]], attentionMask: [[1, 1], [1, 1]], pixelValues: null, imageGridThw: [] }, // prettier-ignore
      CONFIG,
    );
    expect(second?.[0]).toBe(first?.[0]);
    expect([first?.[1], second?.[1]]).toEqual([0, 1]);
  });
});
