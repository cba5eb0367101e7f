import sharp from 'sharp';
import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageQuirks } from '../../config/image.ts';
import type { Pixels } from './resize.ts';

/** A picture: a file's path, or its content. */
export type ImageSource = string | Uint8Array;

/* A file of a few kilobytes can claim to be larger than memory. */
const MAX_PIXELS = 100_000_000;

/** What a picture is called in messages. */
export const nameOf = (source: ImageSource): string =>
  typeof source === 'string' ? source : `a picture of ${source.length} bytes`;

/**
 * Decodes a picture to 8-bit red, green and blue. Grey, palettes, 16 bits and CMYK are converted, colour profiles are
 * not applied; of an animation the first frame is taken. Equal to Pillow's `convert("RGB")`, but for CMYK (other
 * colours) and 16-bit grey (scaled, where Pillow clips).
 *
 * @throws DataError that names the file, if it is missing, empty, broken, too large or no picture
 */
export async function decode(source: ImageSource, { alpha, exif }: ImageQuirks): Promise<Pixels> {
  const name = nameOf(source);
  if (typeof source !== 'string' && source.length === 0) throw new DataError(`${name} is empty.`);
  try {
    const image = sharp(source, { limitInputPixels: MAX_PIXELS, ignoreIcc: true });
    if (exif) image.autoOrient();
    if (alpha === 'drop') image.removeAlpha();
    else image.flatten({ background: 'white' });
    const { data, info } = await image
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`it decodes to ${info.channels} channels`);
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (error) {
    throw new DataError(
      `${name} cannot be used as a picture: ${messageOf(error).trim()}. Expected: a whole JPEG, PNG, WebP, GIF, TIFF, ` +
        `AVIF or SVG file of at most ${MAX_PIXELS / 1e6} megapixels.`,
    );
  }
}
