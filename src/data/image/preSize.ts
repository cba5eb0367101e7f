import { DataError } from '../../common/errors.ts';
import type { PreSize } from '../../config/image.ts';
import { smartResize } from './smartResize.ts';

/* LLaMA-Factory's limits for stage 1, and those of the released stage 2, in pixels. */
const LIMITS = {
  sft: { least: 32 * 32, most: 768 * 768 },
  tapo: { least: 200_704, most: 1_003_520 },
};
/* Of Qwen's models, in LLaMA-Factory: a side has a token at least, and none is over 200 times the other. */
const [LEAST_SIDE, MOST_RATIO, FIXED_RATIO] = [28, 200, 180];

/* Of the evaluation: qwen-vl-utils' limits in pixels, and the side of a token. */
const EVAL_LIMITS = { minPixels: 4 * 28 * 28, maxPixels: 16384 * 28 * 28, factor: 28 };

/**
 * The sizes to which the released code scales a picture, one after the other and by Pillow's bicubic, before the image
 * processor does: LLaMA-Factory in stage 1 (`sft`), EasyR1 in stage 2 (`tapo`), sides truncated; qwen-vl-utils (`eval`).
 *
 * @returns width and height of each step; none where the picture stays as it is
 * @throws DataError if a side would be truncated to nothing, or for `eval` is over 200 times the other
 */
export function preSizes(width: number, height: number, preSize: PreSize): [width: number, height: number][] {
  if (preSize === 'none') return [];
  if (preSize === 'eval') {
    const [toHeight, toWidth] = smartResize(height, width, EVAL_LIMITS);
    return [[toWidth, toHeight]];
  }
  const steps: [number, number][] = [];
  let [w, h] = [width, height];
  const step = (nextWidth: number, nextHeight: number): void => {
    if (nextWidth === 0 || nextHeight === 0) {
      throw new DataError(
        `A picture of ${width} x ${height} pixels is too narrow: it would be scaled to ${nextWidth} x ${nextHeight}, ` +
          'expected sides above 0. Crop it.',
      );
    }
    [w, h] = [nextWidth, nextHeight];
    steps.push([w, h]);
  };
  const toArea = (area: number): void => {
    const factor = Math.sqrt(area / (w * h));
    step(Math.trunc(w * factor), Math.trunc(h * factor));
  };
  const { least, most } = LIMITS[preSize];
  if (w * h > most) toArea(most);
  if (w * h < least) toArea(least);
  if (preSize === 'sft') {
    if (Math.min(w, h) < LEAST_SIDE) step(Math.max(w, LEAST_SIDE), Math.max(h, LEAST_SIDE));
    if (w / h > MOST_RATIO) step(h * FIXED_RATIO, h);
    if (h / w > MOST_RATIO) step(w, w * FIXED_RATIO);
  }
  return steps;
}
