import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import { decode, type ImageSource, nameOf } from './decode.ts';
import { toPatches } from './patches.ts';
import { preSizes } from './preSize.ts';
import { resize } from './resize.ts';
import { smartResize } from './smartResize.ts';

/** A picture as the vision tower takes it. */
export interface ProcessedImage {
  /** `[patches, 1176]` */
  pixelValues: Float32Array;
  /** patches along time, rows and columns */
  gridThw: [number, number, number];
}

/**
 * Decodes, scales, normalises and cuts a picture.
 * @throws DataError that names the file, if it cannot be used
 */
export async function processImage(
  source: ImageSource,
  config: ImageConfig,
  quirks: ImageQuirks,
): Promise<ProcessedImage> {
  const decoded = await decode(source, quirks);
  const pixels = preSizes(decoded.width, decoded.height, quirks.preSize).reduce(
    (picture, [width, height]) => resize(picture, width, height, 'pillow'),
    decoded,
  );
  const factor = config.patchSize * config.mergeSize;
  let size: [number, number];
  try {
    size = smartResize(pixels.height, pixels.width, { ...config, factor });
  } catch (error) {
    throw new DataError(`${nameOf(source)}: ${messageOf(error)}`);
  }
  const [height, width] = size;
  const scaled = resize(pixels, width, height, quirks.resize);
  return {
    pixelValues: toPatches(scaled, config, quirks.resize),
    gridThw: [1, height / config.patchSize, width / config.patchSize],
  };
}
