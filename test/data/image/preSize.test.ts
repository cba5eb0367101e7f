import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/common/errors.ts';
import { EVALUATED, parseImageConfig, RELEASED } from '../../../src/config/image.ts';
import { decode } from '../../../src/data/image/decode.ts';
import { toPatches } from '../../../src/data/image/patches.ts';
import { preSizes } from '../../../src/data/image/preSize.ts';
import { processImage } from '../../../src/data/image/process.ts';
import { resize } from '../../../src/data/image/resize.ts';
import { smartResize } from '../../../src/data/image/smartResize.ts';
import { GOLDENS } from '../../support/safetensors.ts';

type Row = Record<'width' | 'height', number> & Record<string, unknown>;
const { rows } = JSON.parse(readFileSync(new URL('image/presize.json', GOLDENS), 'utf8')) as { rows: Row[] };
const KEYS = { sft: 'sft_768x768', tapo: 'tapo_200704_1003520' } as const;
const config = parseImageConfig({}, 'no file');

describe.each(['sft', 'tapo'] as const)('preSizes for %s', (preSize) => {
  it.each(rows)('goes the released way from $width x $height', (row) => {
    const steps = [[row.width, row.height], ...preSizes(row.width, row.height, preSize)];
    expect(steps).toEqual(row[KEYS[preSize]]);
    const grid = row[`${KEYS[preSize]}_grid_thw_after_default_processor`];
    const [width, height] = steps.at(-1) as [number, number];
    const final = smartResize(height, width, { ...config, factor: 28 });
    expect([1, ...final.map((side) => side / 14)]).toEqual(grid);
  });
});

describe('preSizes for eval', () => {
  it.each([
    ['to the nearest multiples of 28', [500, 375], [504, 364]],
    ['up to 3,136 pixels', [50, 40], [84, 56]],
    ['down to 12,845,056 pixels', [5000, 4000], [4004, 3192]],
  ] as const)('goes %s, as qwen-vl-utils does', (_, [width, height], size) => {
    expect(preSizes(width, height, 'eval')).toEqual([size]);
  });

  it('leaves nothing for the image processor to scale: the pixels are those of Pillow', async () => {
    const picture = await sharp({
      create: {
        width: 500,
        height: 375,
        channels: 3,
        background: 'teal',
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    })
      .png()
      .toBuffer();
    const scaled = resize(await decode(picture, EVALUATED), 504, 364, 'pillow');
    const { pixelValues } = await processImage(picture, config, EVALUATED);
    expect(pixelValues).toEqual(toPatches(scaled, config, 'torchvision'));
    expect(pixelValues).not.toEqual((await processImage(picture, config, RELEASED)).pixelValues);
  });
});

describe('a picture that is too narrow', () => {
  it.each(['sft', 'tapo'] as const)('is refused for %s where a side would be truncated to 0', (preSize) => {
    expect(() => preSizes(2_000_000, 1, preSize)).toThrow(DataError);
    expect(() => preSizes(1, 2_000_000, preSize)).toThrow(
      /A picture of 1 x 2000000 pixels is too narrow: it would be scaled to 0 x \d+/,
    );
  });

  it('is named where it is processed', async () => {
    const line = sharp({ create: { width: 1_100_000, height: 1, channels: 3, background: 'teal' } });
    const file = join(mkdtempSync(join(tmpdir(), 'finer1-')), 'line.png');
    writeFileSync(file, await line.png().toBuffer());
    const processing = processImage(file, config, { ...RELEASED, preSize: 'tapo' });
    await expect(processing).rejects.toThrow(/line\.png: A picture of 1100000 x 1 pixels is too narrow/);
  });
});

describe('processImage', () => {
  it('scales a picture as the training does before it is cut into patches', async () => {
    const picture = await sharp({ create: { width: 1600, height: 1000, channels: 3, background: 'teal' } })
      .png()
      .toBuffer();
    const grid = async (preSize: 'none' | 'sft'): Promise<number[]> =>
      (await processImage(picture, config, { ...RELEASED, preSize })).gridThw;
    // 971 x 607 after stage 1's own resize; 1260 x 784 without it.
    expect(await grid('sft')).toEqual([1, 44, 70]);
    expect(await grid('none')).toEqual([1, 56, 90]);
  });
});
