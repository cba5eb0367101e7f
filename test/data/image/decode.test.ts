import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/common/errors.ts';
import { PICTURES, RELEASED } from '../../../src/config/image.ts';
import { decode } from '../../../src/data/image/decode.ts';

type Colour = [number, number, number];

async function coloursOf(source: Uint8Array, quirks = RELEASED): Promise<Colour[]> {
  const { data } = await decode(source, quirks);
  return Array.from({ length: data.length / 3 }, (_, i) => [...data.subarray(3 * i, 3 * i + 3)] as Colour);
}

/* Pixels in a row, as sharp takes them. */
const rowOf = (values: readonly number[], channels: 1 | 2 | 3 | 4): Sharp =>
  sharp(Uint8Array.from(values), { raw: { width: values.length / channels, height: 1, channels } });

describe('CMYK', () => {
  /* Four pixels, and 8 x 8 of the third of them, saved by Pillow 13.0; the colours are of its convert("RGB"). */
  const TIFF =
    'SUkqAAgAAAAKAAABBAABAAAABAAAAAEBBAABAAAAAQAAAAIBAwAEAAAAhgAAAAMBAwABAAAAAQAAAAYBAwABAAAABQAAABEBBAABAAAAjgAAABUB' +
    'AwABAAAABAAAABYBBAABAAAAAQAAABcBBAABAAAAEAAAABwBAwABAAAAAQAAAAAAAAAIAAgACAAIAAAAAAD/AAAACshaHk0FjPo=';
  const JPEG =
    '/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoKCgYICwwLCgwJ' +
    'CgoK/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABUAAQEAAAAAAAAAAAAAAAAAAAkI/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAA4EQwBNAFkASwAA' +
    'PwB1BtqUMI//2Q==';
  const COLOURS: Colour[] = [
    [255, 255, 255],
    [0, 255, 255],
    [216, 49, 146],
    [3, 5, 2],
  ];

  it.each([RELEASED, PICTURES])("has Pillow's colours in a TIFF and a JPEG, %j", async (quirks) => {
    expect(await coloursOf(Buffer.from(TIFF, 'base64'), quirks)).toEqual(COLOURS);
    const jpeg = await coloursOf(Buffer.from(JPEG, 'base64'), quirks);
    expect(jpeg).toEqual(Array.from({ length: 64 }, () => COLOURS[2]));
  });
});

describe('grey of 16 bits', () => {
  const LEVELS = [0, 100, 255, 256, 0x1234, 0xffff];
  const png = (): Promise<Buffer> =>
    sharp(Uint16Array.from(LEVELS), { raw: { width: LEVELS.length, height: 1, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
  const greys = (levels: number[]): Colour[] => levels.map((level) => [level, level, level]);

  it('is clipped in the released way, as in Pillow', async () => {
    expect((await sharp(await png()).metadata()).depth).toBe('ushort');
    expect(await coloursOf(await png())).toEqual(greys([0, 100, 255, 255, 255, 255]));
  });

  it('is scaled in own pictures', async () => {
    expect(await coloursOf(await png(), PICTURES)).toEqual(greys([0, 0, 0, 1, 0x12, 0xff]));
  });
});

describe('alpha', () => {
  it('is dropped from grey, or laid over white', async () => {
    const png = await rowOf([10, 255, 20, 0, 30, 51], 2).toColourspace('b-w').png().toBuffer();
    expect((await sharp(png).metadata()).channels).toBe(2);
    const greys = (levels: number[]): Colour[] => levels.map((level) => [level, level, level]);
    expect(await coloursOf(png)).toEqual(greys([10, 20, 30]));
    expect(await coloursOf(png, PICTURES)).toEqual(greys([10, 255, 210]));
  });

  it("is dropped from a palette's colours, or laid over white", async () => {
    const png = await rowOf([200, 30, 60, 255, 10, 90, 250, 0], 4).png({ palette: true }).toBuffer();
    expect((await sharp(png).metadata()).isPalette).toBe(true);
    const [opaque, clear] = await coloursOf(png, PICTURES);
    expect(opaque).toEqual([200, 30, 60]);
    expect(clear).toEqual([255, 255, 255]);
    expect((await coloursOf(png))[0]).toEqual([200, 30, 60]);
  });
});

describe('an animation', () => {
  const frame = (background: string): Promise<Buffer> =>
    sharp({ create: { width: 4, height: 2, channels: 3, background } })
      .png()
      .toBuffer();
  const animation = async (): Promise<Sharp> =>
    sharp([await frame('#ff0000'), await frame('#00ff00'), await frame('#0000ff')], {
      join: { animated: true },
    });
  it.each(['gif', 'webp'] as const)('of %s gives its first frame', async (format) => {
    const bytes = await (await animation()).toFormat(format, { lossless: true }).toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(3);
    const first = Array.from({ length: 8 }, () => [255, 0, 0]);
    expect(await coloursOf(bytes)).toEqual(first);
    expect(await coloursOf(bytes, PICTURES)).toEqual(first);
  });
});

describe('an EXIF orientation', () => {
  /* How a picture that is stored as ABC over DEF is seen. */
  const SEEN: Record<number, string[]> = {
    1: ['ABC', 'DEF'],
    2: ['CBA', 'FED'],
    3: ['FED', 'CBA'],
    4: ['DEF', 'ABC'],
    5: ['AD', 'BE', 'CF'],
    6: ['DA', 'EB', 'FC'],
    7: ['FC', 'EB', 'DA'],
    8: ['CF', 'BE', 'AD'],
  };
  const SQUARE = 8;
  const STEP = 40;
  /* A letter is a square of a JPEG, A the darkest. */
  const stored = (orientation: number): Promise<Buffer> => {
    const [width, height] = [3 * SQUARE, 2 * SQUARE];
    const levels = Uint8Array.from({ length: width * height }, (_, i) => {
      const [x, y] = [Math.floor((i % width) / SQUARE), Math.floor(i / width / SQUARE)];
      return STEP * (3 * y + x);
    });
    return sharp(levels, { raw: { width, height, channels: 1 } })
      .withMetadata({ orientation })
      .jpeg({ quality: 100 })
      .toBuffer();
  };
  const lettersOf = async (source: Uint8Array, quirks: typeof RELEASED): Promise<string[]> => {
    const { width, height, data } = await decode(source, quirks);
    return Array.from({ length: height / SQUARE }, (_, y) =>
      Array.from({ length: width / SQUARE }, (_, x) => {
        const level = data[3 * ((y + 0.5) * SQUARE * width + (x + 0.5) * SQUARE)] as number;
        return 'ABCDEF'[Math.round(level / STEP)];
      }).join(''),
    );
  };

  it.each(Object.keys(SEEN).map(Number))(
    'of %d turns own pictures, not released ones',
    async (orientation) => {
      const bytes = await stored(orientation);
      expect((await sharp(bytes).metadata()).orientation).toBe(orientation);
      expect(await lettersOf(bytes, PICTURES)).toEqual(SEEN[orientation]);
      expect(await lettersOf(bytes, RELEASED)).toEqual(['ABC', 'DEF']);
    },
  );
});

describe('a folder', () => {
  it('is refused as what it is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-'));
    const decoding = decode(folder, PICTURES);
    await expect(decoding).rejects.toBeInstanceOf(DataError);
    await expect(decoding).rejects.toThrow(`${folder} cannot be used as a picture: it is a folder.`);
  });
});
