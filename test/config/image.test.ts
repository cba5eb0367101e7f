import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../src/common/errors.ts';
import { type ImageConfig, parseImageConfig } from '../../src/config/image.ts';

const parse = (json: unknown): ImageConfig => parseImageConfig(json, 'm/preprocessor_config.json');

function messageOfWrong(json: unknown): string {
  try {
    parse(json);
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return (error as Error).message;
  }
  throw new Error('It was taken for right.');
}

describe('parseImageConfig', () => {
  it("takes what transformers' processor takes where the file says nothing", () => {
    expect(parse({})).toEqual({
      minPixels: 3136,
      maxPixels: 1_003_520,
      patchSize: 14,
      temporalPatchSize: 2,
      mergeSize: 2,
      mean: [0.48145466, 0.4578275, 0.40821073],
      std: [0.26862954, 0.26130258, 0.27577711],
    });
  });

  it('reads limits by their own names first, then as edges', () => {
    const size = { shortest_edge: 4000, longest_edge: 5000 };
    expect(parse({ size })).toMatchObject({ minPixels: 4000, maxPixels: 5000 });
    expect(parse({ size, min_pixels: 100, max_pixels: 200 })).toMatchObject({
      minPixels: 100,
      maxPixels: 200,
    });
    expect(parse({ min_pixels: 3000, max_pixels: 3000 })).toMatchObject({ minPixels: 3000, maxPixels: 3000 });
  });

  it.each([0, -0.5])('refuses an image_std of %d', (std) => {
    const message = messageOfWrong({ image_std: [0.3, std, 0.3] });
    expect(message).toContain('m/preprocessor_config.json');
    expect(message).toContain('image_std[1]');
    expect(message).toContain(`found ${std}, expected a number above 0`);
  });

  it.each([{ min_pixels: 2000, max_pixels: 1000 }, { size: { shortest_edge: 2000, longest_edge: 1000 } }])(
    'refuses limits of which the lower is above the upper: %j',
    (limits) => {
      expect(messageOfWrong(limits)).toMatch(
        /m\/preprocessor_config\.json is wrong: min_pixels \(or size\.shortest_edge\) is 2000, above max_pixels \(or size\.longest_edge\), 1000; expected at most/,
      );
    },
  );

  it('names every field of a wrong kind', () => {
    const message = messageOfWrong({ patch_size: 0, image_mean: [1, 2], merge_size: 'two' });
    for (const field of ['patch_size', 'image_mean', 'merge_size']) expect(message).toContain(field);
  });
});
