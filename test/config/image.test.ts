import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError, ConfigError } from '../../src/common/errors.ts';
import { type ImageConfig, parseImageConfig, readImageConfig } from '../../src/config/image.ts';
import type { VisionConfig } from '../../src/config/model.ts';

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

describe('readImageConfig', () => {
  const VISION: VisionConfig = {
    depth: 2,
    hiddenSize: 32,
    intermediateSize: 48,
    numHeads: 2,
    inChannels: 3,
    outHiddenSize: 64,
    patchSize: 8,
    spatialMergeSize: 4,
    temporalPatchSize: 1,
    windowSize: 64,
    fullAttentionBlocks: [1],
  };
  const SIZES = { patchSize: 8, temporalPatchSize: 1, mergeSize: 4 };
  const read = (json?: object, limits = {}): ImageConfig => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-'));
    if (json !== undefined) writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify(json));
    return readImageConfig(folder, VISION, limits);
  };

  it("takes the vision tower's sizes where the file has none, or there is no file", () => {
    expect(read()).toMatchObject(SIZES);
    expect(read({ max_pixels: 5000 })).toMatchObject({ ...SIZES, maxPixels: 5000 });
    expect(read({ patch_size: 8, temporal_patch_size: 1, merge_size: 4 })).toMatchObject(SIZES);
  });

  it("refuses sizes that are not the vision tower's, each with both values", () => {
    const json = { patch_size: 14, temporal_patch_size: 1, merge_size: 2 };
    expect(() => read(json)).toThrow(CheckpointError);
    expect(() => read(json)).toThrow(
      /preprocessor_config\.json does not fit config\.json: patch_size is 14, expected 8 \(vision_config\.patch_size\); merge_size is 2, expected 4 \(vision_config\.spatial_merge_size\)\./,
    );
    expect(() => read({ temporal_patch_size: 2 })).toThrow(/: temporal_patch_size is 2, expected 1/);
  });

  it('lets limits that are asked for win, unless they contradict the others', () => {
    const json = { min_pixels: 1000, max_pixels: 9000 };
    expect(read(json, { maxPixels: 2000 })).toMatchObject({ minPixels: 1000, maxPixels: 2000 });
    expect(() => read(json, { maxPixels: 500 })).toThrow(ConfigError);
    expect(() => read(json, { maxPixels: 500 })).toThrow(/minPixels 1000 is above maxPixels 500/);
  });
});
