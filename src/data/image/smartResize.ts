import { DataError } from '../../common/errors.ts';

export interface PixelLimits {
  /** the area of the result is within these, in pixels, where its sides allow */
  minPixels: number;
  maxPixels: number;
  /** both sides become multiples of it */
  factor: number;
}

const MAX_ASPECT_RATIO = 200;

/**
 * The size that a picture is scaled to: `smart_resize` of Qwen2-VL's image processor.
 * @returns height and width in pixels
 * @throws DataError if one side is more than 200 times the other
 */
export function smartResize(
  height: number,
  width: number,
  { minPixels, maxPixels, factor }: PixelLimits,
): [height: number, width: number] {
  const ratio = Math.max(height, width) / Math.min(height, width);
  if (ratio > MAX_ASPECT_RATIO) {
    throw new DataError(
      `A picture of ${width} x ${height} pixels is too narrow: one side may be at most ${MAX_ASPECT_RATIO} times the ` +
        `other, here it is ${ratio.toFixed(1)} times. Crop it.`,
    );
  }
  const rounded = [height, width].map((side) => roundToEven(side / factor) * factor) as [number, number];
  const area = rounded[0] * rounded[1];
  if (area > maxPixels) {
    const scale = Math.sqrt((height * width) / maxPixels);
    const shrunk = (side: number): number => Math.max(factor, Math.floor(side / scale / factor) * factor);
    return [shrunk(height), shrunk(width)];
  }
  if (area < minPixels) {
    const scale = Math.sqrt(minPixels / (height * width));
    const grown = (side: number): number => Math.ceil((side * scale) / factor) * factor;
    return [grown(height), grown(width)];
  }
  return rounded;
}

/* Python's round: halves go to the even neighbour. */
function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
