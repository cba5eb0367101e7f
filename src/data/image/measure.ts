import sharp from 'sharp';
import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import { type ImageSource, nameOf } from './decode.ts';
import { preSizes } from './preSize.ts';
import { smartResize } from './smartResize.ts';

/**
 * The patches along time, rows and columns that a picture becomes, from its header: equal to what `processImage` makes.
 * @throws DataError that names the file, if it has no header of a picture
 */
export async function measureImage(
  source: ImageSource,
  config: ImageConfig,
  quirks: ImageQuirks,
): Promise<[number, number, number]> {
  try {
    const { width, height, autoOrient } = await sharp(source).metadata();
    const stored = quirks.exif ? autoOrient : { width, height };
    const [w, h] = preSizes(stored.width, stored.height, quirks.preSize).at(-1) ?? [
      stored.width,
      stored.height,
    ];
    const size = smartResize(h, w, { ...config, factor: config.patchSize * config.mergeSize });
    return [1, size[0] / config.patchSize, size[1] / config.patchSize];
  } catch (error) {
    // sharp ends some of its reasons with a colon, ours with a full stop.
    const reason = messageOf(error).trim().replace(/[:.]$/, '');
    throw new DataError(
      `${nameOf(source)} cannot be used as a picture: ${reason}. Replace it, or leave its row out.`,
    );
  }
}
