import { DataError } from '../common/errors.ts';
import type { ModelConfig } from '../config/model.ts';

/** Patches of an image along time, rows and columns. */
export type GridThw = readonly [number, number, number];

/** A sequence without padding. */
export interface Row {
  ids: readonly number[];
  /** of its images, in the order in which they stand in `ids` */
  grids: readonly GridThw[];
}

export interface RowPositions {
  /** time, row and column of each token: three times `ids.length` */
  thw: readonly [Int32Array, Int32Array, Int32Array];
  /** position of the token after the last */
  next: number;
}

/**
 * Positions for the multimodal rotary embedding (`get_rope_index` of transformers' Qwen2.5-VL): text counts up on all
 * three axes; an image at position p takes (p, p + row, p + column) for each merged token, and what follows goes on
 * at p + max(rows, columns).
 *
 * @param row its number in the batch, for messages
 * @throws DataError if the image tokens do not fit the grids
 */
export function ropeIndex({ ids, grids }: Row, config: ModelConfig, row: number): RowPositions {
  const thw = [0, 1, 2].map(() => new Int32Array(ids.length)) as [Int32Array, Int32Array, Int32Array];
  const { spatialMergeSize } = config.vision;
  let next = 0;
  let image = 0;
  for (let at = 0; at < ids.length;) {
    if (ids[at] !== config.imageTokenId) {
      for (const axis of thw) axis[at] = next;
      next++;
      at++;
      continue;
    }
    const [time, height, width] = gridOf(grids, image++, row);
    const [rows, columns] = [height / spatialMergeSize, width / spatialMergeSize];
    const count = time * rows * columns;
    const found = imageTokensIn(ids.slice(at, at + count), config);
    if (found !== count) {
      throw new DataError(
        `Image ${image} of sequence ${row} has ${found} image tokens in a row, from token ${at} on; its grid asks for ` +
          `${count}. Expand each <|image_pad|> to the image's number of merged patches (prepare() does).`,
      );
    }
    for (let i = 0; i < count; i++, at++) {
      thw[0][at] = next + Math.floor(i / (rows * columns));
      thw[1][at] = next + (Math.floor(i / columns) % rows);
      thw[2][at] = next + (i % columns);
    }
    next += Math.max(time, rows, columns);
  }
  if (image !== grids.length) {
    throw new DataError(
      `Sequence ${row} has image tokens for ${image} images, but ${grids.length} were given. Give one image for each ` +
        '<|image_pad|> of the prompt.',
    );
  }
  return { thw, next };
}

function gridOf(grids: readonly GridThw[], image: number, row: number): GridThw {
  const grid = grids[image];
  if (grid !== undefined) return grid;
  throw new DataError(
    `Sequence ${row} has image tokens for more than the ${grids.length} images that were given. Give one image for ` +
      'each <|image_pad|> of the prompt.',
  );
}

/* How many image tokens stand at the beginning. */
function imageTokensIn(ids: readonly number[], { imageTokenId }: ModelConfig): number {
  const end = ids.findIndex((id) => id !== imageTokenId);
  return end === -1 ? ids.length : end;
}
