import { statSync } from 'node:fs';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageQuirks } from '../../config/image.ts';
import type { Pixels } from './resize.ts';

/** A picture: a file's path, or its content. */
export type ImageSource = string | Uint8Array;

/* A file of a few kilobytes can claim to be larger than memory. */
export const MAX_PIXELS = 100_000_000;

/** What a picture is called in messages. */
export const nameOf = (source: ImageSource): string =>
  typeof source === 'string' ? source : `a picture of ${source.length} bytes`;

/* What sharp is asked for, and how that becomes red, green and blue. */
const COLOURS = {
  srgb: { channels: 3, depth: 'uchar', toRgb: (data: Buffer) => new Uint8Array(data) },
  cmyk: { channels: 4, depth: 'uchar', toRgb: cmykToRgb },
  grey16: { channels: 1, depth: 'ushort', toRgb: clippedGrey },
} as const;

/**
 * Decodes a picture to 8-bit red, green and blue. Grey, palettes, 16 bits and CMYK are converted, colour profiles are
 * not applied; of an animation the first frame is taken. With `alpha: 'drop'` equal to Pillow's `convert("RGB")`, but
 * for the transparent pixels of a GIF: they are black, where Pillow takes the colour that the palette has for them.
 *
 * @throws DataError that names the file, if it is missing, empty, broken, too large, a folder or no picture
 */
export async function decode(source: ImageSource, quirks: ImageQuirks): Promise<Pixels> {
  const name = nameOf(source);
  if (typeof source !== 'string' && source.length === 0) throw new DataError(`${name} is empty.`);
  try {
    if (typeof source === 'string' && statSync(source, { throwIfNoEntry: false })?.isDirectory()) {
      throw new Error('it is a folder');
    }
    return await pixelsOf(sharp(source, { limitInputPixels: MAX_PIXELS, ignoreIcc: true }), quirks);
  } catch (error) {
    throw new DataError(
      `${name} cannot be used as a picture: ${messageOf(error).trim()}. Expected: a whole JPEG, PNG, WebP, GIF, TIFF, ` +
        `AVIF or SVG file of at most ${MAX_PIXELS / 1e6} megapixels.`,
    );
  }
}

async function pixelsOf(image: Sharp, { alpha, exif }: ImageQuirks): Promise<Pixels> {
  const metadata = await image.metadata();
  const colours = coloursOf(metadata, alpha);
  const { channels, depth, toRgb } = COLOURS[colours];
  if (exif) image.autoOrient();
  if (alpha === 'drop') image.removeAlpha();
  else image.flatten({ background: 'white' });
  // Or sharp would begin with a conversion of its own, to other colours than Pillow's.
  if (colours === 'cmyk') image.pipelineColourspace('cmyk');
  const { data, info } = await image
    .toColourspace(colours)
    .raw({ depth })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== channels) throw new Error(`it decodes to ${info.channels} channels`);
  return { width: info.width, height: info.height, data: toRgb(data) };
}

function coloursOf({ space, hasAlpha }: Metadata, alpha: ImageQuirks['alpha']): keyof typeof COLOURS {
  if (space === 'cmyk') return 'cmyk';
  return space === 'grey16' && !hasAlpha && alpha === 'drop' ? 'grey16' : 'srgb';
}

/* In Pillow's whole-number steps: a product over 255 is rounded. */
function cmykToRgb(inks: Buffer): Uint8Array {
  const data = new Uint8Array((inks.length / 4) * 3);
  for (let from = 0, to = 0; from < inks.length; from += 4) {
    const light = 255 - (inks[from + 3] as number);
    for (let ink = 0; ink < 3; ink++) {
      const product = (inks[from + ink] as number) * light + 128;
      data[to++] = light - (((product >> 8) + product) >> 8);
    }
  }
  return data;
}

/* Pillow does not scale 16-bit grey: what is over 255 becomes white. */
function clippedGrey(levels: Buffer): Uint8Array {
  const data = new Uint8Array((levels.length / 2) * 3);
  for (let from = 0, to = 0; from < levels.length; from += 2, to += 3) {
    data.fill(Math.min(levels.readUInt16LE(from), 255), to, to + 3);
  }
  return data;
}
