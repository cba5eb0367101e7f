import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { CheckpointError, ConfigError } from '../common/errors.ts';
import { readJson } from '../common/json.ts';
import type { VisionConfig } from './model.ts';

const positive = z.int().positive();
const three = <T extends z.ZodType>(value: T) => z.tuple([value, value, value]);
const divisor = z.number().refine((value) => value > 0, {
  error: ({ input }) => `found ${String(input)}, expected a number above 0: pixels are divided by it`,
});

const imageSchema = z.object({
  min_pixels: positive.nullish(),
  max_pixels: positive.nullish(),
  size: z.object({ shortest_edge: positive.nullish(), longest_edge: positive.nullish() }).partial().nullish(),
  patch_size: positive.optional(),
  temporal_patch_size: positive.optional(),
  merge_size: positive.optional(),
  // Those of CLIP.
  image_mean: three(z.number()).default([0.48145466, 0.4578275, 0.40821073]),
  image_std: three(divisor).default([0.26862954, 0.26130258, 0.27577711]),
});

/** How pictures become patches: what `preprocessor_config.json` says. */
export interface ImageConfig {
  /** pictures are scaled so that their area is within these, in pixels */
  minPixels: number;
  maxPixels: number;
  /** side of a patch in pixels */
  patchSize: number;
  temporalPatchSize: number;
  /** side of a token in patches */
  mergeSize: number;
  /** by which red, green and blue (0 to 1) are normalised */
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

/** The sizes that the vision tower fixes. */
export type PatchSizes = Pick<ImageConfig, 'patchSize' | 'temporalPatchSize' | 'mergeSize'>;

const DEFAULT_SIZES: PatchSizes = { patchSize: 14, temporalPatchSize: 2, mergeSize: 2 };
/* The limits of transformers' processor where the file has none. */
const DEFAULT_MIN_PIXELS = 56 * 56;
const DEFAULT_MAX_PIXELS = 28 * 28 * 1280;

/**
 * Reads `preprocessor_config.json`.
 * @param json its parsed content
 * @param file for messages
 * @param sizes where the file has none
 * @throws CheckpointError that names the file and each field that is wrong
 */
export function parseImageConfig(json: unknown, file: string, sizes = DEFAULT_SIZES): ImageConfig {
  const result = imageSchema.safeParse(json);
  if (!result.success) throw new CheckpointError(`${file} is wrong:\n${z.prettifyError(result.error)}`);
  const { data } = result;
  return {
    ...limitsOf(data, file),
    patchSize: data.patch_size ?? sizes.patchSize,
    temporalPatchSize: data.temporal_patch_size ?? sizes.temporalPatchSize,
    mergeSize: data.merge_size ?? sizes.mergeSize,
    mean: data.image_mean,
    std: data.image_std,
  };
}

/* The area that pictures are scaled to, in pixels. */
function limitsOf(
  { min_pixels, max_pixels, size }: z.infer<typeof imageSchema>,
  file: string,
): Pick<ImageConfig, 'minPixels' | 'maxPixels'> {
  const minPixels = min_pixels ?? size?.shortest_edge ?? DEFAULT_MIN_PIXELS;
  const maxPixels = max_pixels ?? size?.longest_edge ?? DEFAULT_MAX_PIXELS;
  if (minPixels <= maxPixels) return { minPixels, maxPixels };
  throw new CheckpointError(
    `${file} is wrong: min_pixels (or size.shortest_edge) is ${minPixels}, above max_pixels (or size.longest_edge), ` +
      `${maxPixels}; expected at most that. Correct it, or fetch it again.`,
  );
}

/**
 * Reads how a checkpoint's pictures become patches: its `preprocessor_config.json`, sizes that it does not give from
 * the vision tower.
 *
 * @param limits that win over the checkpoint's
 * @throws CheckpointError if the file is damaged, or its sizes are not those of the vision tower
 * @throws ConfigError if the limits contradict each other
 */
export function readImageConfig(
  folder: string,
  vision: VisionConfig,
  limits: { minPixels?: number | undefined; maxPixels?: number | undefined },
): ImageConfig {
  const file = join(folder, 'preprocessor_config.json');
  const { patchSize, temporalPatchSize, spatialMergeSize: mergeSize } = vision;
  const sizes: PatchSizes = { patchSize, temporalPatchSize, mergeSize };
  const stored = parseImageConfig(existsSync(file) ? readJson(file) : {}, file, sizes);
  assertSizes(stored, sizes, file);
  const config: ImageConfig = {
    ...stored,
    minPixels: limits.minPixels ?? stored.minPixels,
    maxPixels: limits.maxPixels ?? stored.maxPixels,
  };
  if (config.minPixels <= config.maxPixels) return config;
  throw new ConfigError(
    `minPixels ${config.minPixels} is above maxPixels ${config.maxPixels}. Change one of them (those of the checkpoint ` +
      `are ${stored.minPixels} and ${stored.maxPixels}).`,
  );
}

/* Each field of the file, and where config.json has the same. */
const SIZE_FIELDS = [
  ['patchSize', 'patch_size', 'vision_config.patch_size'],
  ['temporalPatchSize', 'temporal_patch_size', 'vision_config.temporal_patch_size'],
  ['mergeSize', 'merge_size', 'vision_config.spatial_merge_size'],
] as const;

function assertSizes(found: PatchSizes, expected: PatchSizes, file: string): void {
  const wrong = SIZE_FIELDS.filter(([key]) => found[key] !== expected[key]).map(
    ([key, field, ofModel]) => `${field} is ${found[key]}, expected ${expected[key]} (${ofModel})`,
  );
  if (wrong.length === 0) return;
  throw new CheckpointError(
    `${file} does not fit config.json: ${wrong.join('; ')}. Fetch both files again, of one model.`,
  );
}

/** What scales a picture before the image processor does: training in stage 1 or 2, the evaluation, or nothing. */
export type PreSize = 'none' | 'sft' | 'tapo' | 'eval';

/** In what the programs that read pictures differ. */
export interface ImageQuirks {
  /** whose bicubic resize: they differ by up to 2 of 255 */
  resize: 'pillow' | 'torchvision';
  /**
   * as Pillow's `convert("RGB")`: leave the colours under a transparent alpha as they are, and clip 16-bit grey at 255; or
   * as one sees it: put the picture over white, and scale 16-bit grey
   */
  alpha: 'drop' | 'white';
  /** turn the picture as its EXIF orientation says */
  exif: boolean;
  /** scale it first as a released training, or the released evaluation, does */
  preSize: PreSize;
}

/** As both released training stages saw their pictures: transformers' fast processor behind Pillow. */
export const RELEASED: ImageQuirks = { resize: 'torchvision', alpha: 'drop', exif: false, preSize: 'none' };

/** For people's own pictures: cameras store them unturned, and what lies under alpha was never meant to be seen. */
export const PICTURES: ImageQuirks = { resize: 'torchvision', alpha: 'white', exif: true, preSize: 'none' };

/** As the released evaluation sees pictures: qwen-vl-utils puts them over white, and scales them by Pillow. */
export const EVALUATED: ImageQuirks = { resize: 'torchvision', alpha: 'white', exif: false, preSize: 'eval' };
