import { DataError } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import { decode, type ImageSource, nameOf } from './decode.ts';
import { toPatches } from './patches.ts';
import { preSizes } from './preSize.ts';
import { type Pixels, resize } from './resize.ts';
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
  let scaled: Pixels;
  try {
    scaled = scale(decoded, config, quirks);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(`${nameOf(source)}: ${error.message}`);
  }
  return {
    pixelValues: toPatches(scaled, config, quirks.resize),
    gridThw: [1, scaled.height / config.patchSize, scaled.width / config.patchSize],
  };
}

/* First as the training did, if asked to, then to whole tokens. */
function scale(decoded: Pixels, config: ImageConfig, quirks: ImageQuirks): Pixels {
  const pixels = preSizes(decoded.width, decoded.height, quirks.preSize).reduce(
    (picture, [width, height]) => resize(picture, width, height, 'pillow'),
    decoded,
  );
  const factor = config.patchSize * config.mergeSize;
  const [height, width] = smartResize(pixels.height, pixels.width, { ...config, factor });
  return resize(pixels, width, height, quirks.resize);
}
