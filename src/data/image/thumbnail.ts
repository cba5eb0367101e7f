import sharp from 'sharp';
import { DataError, messageOf } from '../../common/errors.ts';
import { MAX_PIXELS } from './decode.ts';

const QUALITY = 70;

/**
 * A small copy of a picture, for people to look at: WebP, upright, transparent parts white.
 *
 * @param source the content of a file
 * @param pixels its width and height, at most; smaller pictures keep their size
 * @throws DataError if it is no picture, or too large
 */
export async function thumbnail(source: Uint8Array, pixels: number): Promise<Uint8Array> {
  try {
    return await sharp(source, { limitInputPixels: MAX_PIXELS })
      .autoOrient()
      .flatten({ background: 'white' })
      .resize(pixels, pixels, { fit: 'inside', withoutEnlargement: true })
      .webp({ quality: QUALITY })
      .toBuffer();
  } catch (error) {
    throw new DataError(`A picture of ${source.length} bytes cannot be shown: ${messageOf(error).trim()}.`);
  }
}
