import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import type { Pixels } from './resize.ts';

const CHANNELS = 3;

/**
 * Normalises a picture and cuts it into patches, those of a token (2 x 2) together, as Qwen2-VL's image processor does;
 * a still picture stands for each of the patch's points in time.
 *
 * @param pixels sides are multiples of `patchSize * mergeSize`
 * @returns `[patches, channels * time * rows * columns]`, row-major
 */
export function toPatches(
  { width, height, data }: Pixels,
  config: ImageConfig,
  flavour: ImageQuirks['resize'],
): Float32Array {
  const { patchSize, temporalPatchSize, mergeSize } = config;
  const tables = [0, 1, 2].map((channel) => normalised(config, channel, flavour));
  const area = patchSize ** 2;
  const block = patchSize * mergeSize;
  const patches = new Float32Array(((width * height) / area) * CHANNELS * temporalPatchSize * area);
  let to = 0;
  for (let top = 0; top < height; top += block) {
    for (let left = 0; left < width; left += block) {
      for (let part = 0; part < mergeSize ** 2; part++) {
        const firstRow = top + Math.floor(part / mergeSize) * patchSize;
        const firstColumn = left + (part % mergeSize) * patchSize;
        for (let channel = 0; channel < CHANNELS; channel++) {
          const table = tables[channel] as Float32Array;
          const begin = to;
          for (let row = firstRow; row < firstRow + patchSize; row++) {
            let from = (row * width + firstColumn) * CHANNELS + channel;
            for (let i = 0; i < patchSize; i++, from += CHANNELS) {
              patches[to++] = table[data[from] as number] as number;
            }
          }
          for (let time = 1; time < temporalPatchSize; time++, to += area) {
            patches.copyWithin(to, begin, begin + area);
          }
        }
      }
    }
  }
  return patches;
}

/* The normalised value of each of 256 levels, in the float32 steps of either processor. */
function normalised(
  { mean, std }: ImageConfig,
  channel: number,
  flavour: ImageQuirks['resize'],
): Float32Array {
  const [m, s] = [mean[channel] as number, std[channel] as number].map(Math.fround) as [number, number];
  const { fround } = Math;
  return Float32Array.from({ length: 256 }, (_, level) =>
    flavour === 'pillow'
      ? fround(fround(level / 255) - m) / s
      : fround(level - fround(m * 255)) / fround(s * 255),
  );
}
