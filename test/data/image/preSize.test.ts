import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { parseImageConfig, RELEASED } from '../../../src/config/image.ts';
import { preSizes } from '../../../src/data/image/preSize.ts';
import { processImage } from '../../../src/data/image/process.ts';
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
    if (!Array.isArray(grid)) return;
    const [rowsOfPixels, columns] = smartResize(height, width, { ...config, factor: 28 });
    expect([1, rowsOfPixels / 14, columns / 14]).toEqual(grid);
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
