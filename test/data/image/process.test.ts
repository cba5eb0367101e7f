import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  type ImageConfig,
  type ImageQuirks,
  parseImageConfig,
  PICTURES,
  RELEASED,
} from '../../../src/config/image.ts';
import { decode } from '../../../src/data/image/decode.ts';
import { toPatches } from '../../../src/data/image/patches.ts';
import { processImage } from '../../../src/data/image/process.ts';
import { resize } from '../../../src/data/image/resize.ts';
import { smartResize } from '../../../src/data/image/smartResize.ts';
import { type Golden, GOLDENS, readGolden } from '../../support/safetensors.ts';

const path = (name: string): string => fileURLToPath(new URL(`image/${name}`, GOLDENS));
const json = (name: string): unknown => JSON.parse(readFileSync(path(name), 'utf8'));

interface Variant {
  min_pixels: number;
  max_pixels: number;
  resized_hw: [number, number];
  resized_file: string;
  image_grid_thw: [[number, number, number]];
  pil: { rows: 'all' | number[] };
}
interface Picture {
  file: string;
  decoded?: string;
  transposed?: { file: string };
  alpha?: { dropped: string; over_white: string };
  variants: Record<string, Variant>;
}
const { images } = json('images.json') as { images: Record<string, Picture> };
const PILLOW: ImageQuirks = { resize: 'pillow', alpha: 'drop', exif: false, preSize: 'none' };

/* Pixels of a golden PNG, by sharp alone. */
async function pixelsOf(name: string): Promise<Uint8Array> {
  const { data } = await sharp(path(name))
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return new Uint8Array(data);
}

function largest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let difference = 0;
  for (let i = 0; i < actual.length; i++) {
    difference = Math.max(difference, Math.abs((actual[i] as number) - (expected[i] as number)));
  }
  return difference;
}

describe.each(Object.entries(images))('%s', (name, picture) => {
  it('decodes as in Pillow', async () => {
    const { data } = await decode(path(picture.file), PILLOW);
    const golden = picture.decoded ?? picture.alpha?.dropped ?? picture.file;
    // JPEG decoders differ by a level.
    expect(largest(data, await pixelsOf(golden))).toBeLessThanOrEqual(picture.decoded === undefined ? 0 : 1);
  });

  it('is put over white, and turned by its EXIF orientation, for own pictures', async () => {
    const { data } = await decode(path(picture.file), PICTURES);
    const golden = picture.alpha?.over_white ?? picture.transposed?.file ?? picture.decoded ?? picture.file;
    const exact = picture.alpha === undefined && picture.decoded === undefined;
    expect(largest(data, await pixelsOf(golden))).toBeLessThanOrEqual(exact ? 0 : 1);
  });

  describe.each(Object.entries(picture.variants))('%s', (variant, golden) => {
    const config: ImageConfig = parseImageConfig(
      { min_pixels: golden.min_pixels, max_pixels: golden.max_pixels },
      'the golden',
    );
    const source = async (): Promise<Awaited<ReturnType<typeof decode>>> =>
      decode(path(picture.decoded ?? picture.file), PILLOW);
    const stored = readGolden(path(`pixels/${name}.safetensors`));
    /* The patches that the golden file holds. */
    const storedRows = (patches: Float32Array): Float32Array => {
      const width = 1176;
      const { rows } = golden.pil;
      if (rows === 'all') return patches;
      return Float32Array.from(rows.flatMap((row) => [...patches.subarray(row * width, (row + 1) * width)]));
    };

    it('is scaled to the same bytes as by Pillow', async () => {
      const pixels = await source();
      const size = smartResize(pixels.height, pixels.width, { ...config, factor: 28 });
      expect(size).toEqual(golden.resized_hw);
      const scaled = resize(pixels, size[1], size[0], 'pillow');
      expect(largest(scaled.data, await pixelsOf(golden.resized_file))).toBe(0);
    });

    it.each(['pillow', 'torchvision'] as const)("becomes the patches of %s's processor", async (flavour) => {
      const pixels = await source();
      const [height, width] = golden.resized_hw;
      const patches = toPatches(resize(pixels, width, height, flavour), config, flavour);
      const key = flavour === 'pillow' ? `${variant}.pixel_values` : `${variant}.fast.pixel_values`;
      expect(largest(storedRows(patches), (stored[key] as Golden).data as Float32Array)).toBeLessThan(1e-6);
    });

    it('has the same grid', async () => {
      const { gridThw, pixelValues } = await processImage(path(picture.file), config, RELEASED);
      expect([gridThw]).toEqual(golden.image_grid_thw);
      expect(pixelValues.length).toBe(gridThw[1] * gridThw[2] * 1176);
    });
  });
});

describe('smartResize', () => {
  const rows = json('smart_resize.json') as {
    height: number;
    width: number;
    factor: number;
    min_pixels: number;
    max_pixels: number;
    result_hw?: [number, number];
    error?: string;
  }[];
  it.each(rows)('$height x $width, $factor, $min_pixels to $max_pixels', (row) => {
    const run = (): [number, number] =>
      smartResize(row.height, row.width, {
        factor: row.factor,
        minPixels: row.min_pixels,
        maxPixels: row.max_pixels,
      });
    if (row.error === undefined) expect(run()).toEqual(row.result_hw);
    else expect(run).toThrow(/at most 200 times/);
  });
});

describe('kinds of pictures', () => {
  const red = { r: 200, g: 30, b: 60 };
  const plain = (): Sharp => sharp({ create: { width: 40, height: 30, channels: 3, background: red } });
  const decoded = async (source: Uint8Array): Promise<number[]> => {
    const { data, width, height } = await decode(source, PICTURES);
    expect([width, height]).toEqual([40, 30]);
    return [...data.subarray(0, 3)];
  };
  const KINDS: Record<string, () => Promise<Buffer>> = {
    PNG: () => plain().png().toBuffer(),
    'palette PNG': () => plain().png({ palette: true }).toBuffer(),
    '16-bit PNG': () => plain().toColourspace('rgb16').png().toBuffer(),
    'lossless WebP': () => plain().webp({ lossless: true }).toBuffer(),
    TIFF: () => plain().tiff({ compression: 'lzw' }).toBuffer(),
    GIF: () => plain().gif().toBuffer(),
    SVG: () =>
      Promise.resolve(
        Buffer.from(
          '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30" fill="rgb(200,30,60)"/></svg>',
        ),
      ),
  };
  it.each(Object.keys(KINDS))('reads %s', async (kind) => {
    const bytes = await (KINDS[kind] as () => Promise<Buffer>)();
    const colour = await decoded(bytes);
    expect(largest(colour, [200, 30, 60])).toBeLessThanOrEqual(1);
  });

  it('reads a CMYK JPEG, and grey with alpha', async () => {
    const cmyk = await plain().toColourspace('cmyk').jpeg().toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe('cmyk');
    const [r = 0, g = 0] = await decoded(cmyk);
    expect(r).toBeGreaterThan(2 * g);
    const grey = await plain().greyscale().ensureAlpha(0.5).png().toBuffer();
    const [x, y, z] = await decoded(grey);
    expect([y, z]).toEqual([x, x]);
  });

  it('takes the first frame of an animation', async () => {
    const frame = (background: { r: number; g: number; b: number; alpha: number }): Promise<Buffer> =>
      sharp({ create: { width: 40, height: 30, channels: 3, background } })
        .png()
        .toBuffer();
    const frames = await Promise.all([frame({ ...red, alpha: 1 }), frame({ r: 0, g: 255, b: 0, alpha: 1 })]);
    const gif = await sharp(frames, { join: { animated: true } })
      .gif()
      .toBuffer();
    expect((await sharp(gif, { pages: -1 }).metadata()).pages).toBe(2);
    expect(largest(await decoded(gif), [200, 30, 60])).toBeLessThanOrEqual(3);
  });
});

describe('what is no picture', () => {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-'));
  const whole = readFileSync(path('src/rgb_224x224.png'));
  const jpeg = readFileSync(path('src/jpeg_640x427.jpg'));
  const header = Buffer.from(whole);
  header.writeUInt32BE(60_000, 16);
  header.writeUInt32BE(60_000, 20);
  const CONTENT: Record<string, Buffer> = {
    'empty.png': Buffer.alloc(0),
    'cut.png': whole.subarray(0, whole.length / 2),
    'cut.jpg': jpeg.subarray(0, jpeg.length / 2),
    'text.jpg': Buffer.from('this is no picture'),
    'bomb.png': header,
  };
  it.each(Object.keys(CONTENT))('names %s', async (name) => {
    writeFileSync(join(folder, name), CONTENT[name] as Buffer);
    await expect(decode(join(folder, name), RELEASED)).rejects.toThrow(
      new RegExp(`${name.replace('.', '\\.')} cannot be used as a picture`),
    );
  });
  it('names a file that is not there, and a folder', async () => {
    await expect(decode(join(folder, 'none.png'), RELEASED)).rejects.toThrow(/none\.png cannot be used/);
    await expect(decode(folder, RELEASED)).rejects.toThrow(/cannot be used as a picture/);
    await expect(decode(new Uint8Array(0), RELEASED)).rejects.toThrow(/is empty/);
  });
  it('names a file that is too narrow', async () => {
    const bytes = await sharp({ create: { width: 4020, height: 20, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    writeFileSync(join(folder, 'narrow.png'), bytes);
    await expect(
      processImage(join(folder, 'narrow.png'), parseImageConfig({}, 'x'), RELEASED),
    ).rejects.toThrow(/narrow\.png: A picture of 4020 x 20 pixels is too narrow/);
  });
});
