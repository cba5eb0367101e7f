import sharp from 'sharp';
import type { Pixels } from './resize.ts';

/** A PNG file of a picture. */
export async function encodePng({ data, width, height }: Pixels): Promise<Uint8Array> {
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
