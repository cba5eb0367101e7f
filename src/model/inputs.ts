import { DataError } from '../common/errors.ts';
import type { ModelConfig } from '../config/model.ts';
import { type GridThw, type Row, ropeIndex } from './positions.ts';

/** What a model is asked about, as plain arrays: as transformers' processor makes it. */
export interface ModelInputs {
  /** B sequences of equal length, padded on either side */
  inputIds: number[][];
  /** 1 where a token counts, 0 at padding */
  attentionMask: number[][];
  /** `[patches, 1176]` of all images in order, row-major; null without images */
  pixelValues: Float32Array | null;
  /** patches of each image along time, rows and columns */
  imageGridThw: number[][];
}

/**
 * Takes the padding off: one row for each sequence, with the images that stand in it.
 * @throws DataError if ids, mask, images and grids do not fit one another, or an id is not in the vocabulary
 */
export function rowsOf(inputs: ModelInputs, config: ModelConfig): Row[] {
  const { inputIds, attentionMask, imageGridThw } = inputs;
  assertImages(inputs, config);
  const { spatialMergeSize } = config.vision;
  let image = 0;
  const rows = inputIds.map((sequence, row) => {
    const mask = attentionMask[row];
    if (mask?.length !== sequence.length) {
      throw new DataError(
        `attentionMask[${row}] has ${mask?.length ?? 0} places; inputIds[${row}] has ${sequence.length}. Both have ` +
          'to be equal.',
      );
    }
    const ids = sequence.filter((_, i) => mask[i] !== 0);
    assertIds(ids, row, config);
    const grids: GridThw[] = [];
    let left = ids.filter((id) => id === config.imageTokenId).length;
    while (left > 0 && image < imageGridThw.length) {
      const grid = imageGridThw[image++] as unknown as GridThw;
      grids.push(grid);
      left -= (grid[0] * grid[1] * grid[2]) / spatialMergeSize ** 2;
    }
    return { ids, grids };
  });
  if (image !== imageGridThw.length) {
    throw new DataError(
      `${imageGridThw.length} images were given; the sequences have image tokens for ${image}. Give one image for ` +
        'each <|image_pad|> of the prompt.',
    );
  }
  return rows;
}

function assertIds(ids: readonly number[], row: number, { text }: ModelConfig): void {
  if (ids.length === 0)
    throw new DataError(`inputIds[${row}] has no token that counts (its mask is 0 throughout).`);
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= text.vocabSize);
  if (wrong === undefined) return;
  throw new DataError(
    `inputIds[${row}] holds ${wrong}, which is no token: the model's vocabulary has ${text.vocabSize}, from 0 on. Is ` +
      "the tokenizer the checkpoint's own?",
  );
}

function assertImages({ pixelValues, imageGridThw }: ModelInputs, { vision }: ModelConfig): void {
  const width = vision.inChannels * vision.temporalPatchSize * vision.patchSize ** 2;
  let patches = 0;
  for (const [i, [time = 0, height = 0, columns = 0]] of imageGridThw.entries()) {
    const merge = vision.spatialMergeSize;
    if (!(time > 0 && height > 0 && columns > 0 && height % merge === 0 && columns % merge === 0)) {
      throw new DataError(
        `imageGridThw[${i}] is [${imageGridThw[i]?.join(', ') ?? ''}]; three numbers above 0 were expected, rows and ` +
          `columns multiples of ${merge}.`,
      );
    }
    patches += time * height * columns;
  }
  const found = (pixelValues?.length ?? 0) / width;
  if (found === patches) return;
  throw new DataError(
    `pixelValues holds ${found} patches of ${width} values, but the grids in imageGridThw have ${patches}.`,
  );
}

/** Sequences padded on the right to one length; padding never reaches a token, as attention is causal. */
export interface TextBatch {
  /** B */
  rows: number;
  /** L */
  length: number;
  lengths: readonly number[];
  /** `[B, L]` */
  ids: Int32Array;
  /** `[3, B, L]`: time, row and column */
  positions: Int32Array;
  /** position of the token after the last, for each row */
  next: readonly number[];
}

/**
 * Lays rows out for the decoder.
 * @param length to pad to; default: the longest row's, rounded up to a bucket, so that few shapes are traced
 */
export function layOutText(
  rows: readonly Row[],
  config: ModelConfig,
  length = bucketLength(rows),
): TextBatch {
  const count = rows.length;
  const ids = new Int32Array(count * length);
  const positions = new Int32Array(3 * count * length);
  const next = rows.map((row, b) => {
    const { thw, next } = ropeIndex(row, config);
    ids.set(row.ids, b * length);
    thw.forEach((axis, a) => {
      positions.set(axis, (a * count + b) * length);
    });
    return next;
  });
  return { rows: count, length, lengths: rows.map((row) => row.ids.length), ids, positions, next };
}

/** Rounds a length up, by an eighth at most where it is long. */
export function roundLength(length: number): number {
  const step = length <= 64 ? 16 : length <= 256 ? 32 : length <= 1024 ? 64 : 256;
  return Math.ceil(length / step) * step;
}

const bucketLength = (rows: readonly Row[]): number =>
  roundLength(Math.max(...rows.map((row) => row.ids.length)));

/**
 * Two whole numbers for each sequence that follow from its tokens and its images' pixels, so that what is drawn for a
 * prompt does not depend on what else is in the batch. Equal prompts get different ones, by their order.
 */
export function contentStreams(inputs: ModelInputs, config: ModelConfig): [number, number][] {
  const { patchSize, temporalPatchSize, inChannels } = config.vision;
  const width = inChannels * temporalPatchSize * patchSize ** 2;
  const pixels = inputs.pixelValues ?? new Float32Array(0);
  const bits = new Int32Array(pixels.buffer, pixels.byteOffset, pixels.length);
  const seen = new Map<number, number>();
  let patch = 0;
  return rowsOf(inputs, config).map(({ ids, grids }) => {
    let hash = fnv(ids, 0x811c9dc5);
    for (const [time, height, columns] of grids) {
      const patches = time * height * columns;
      hash = fnv(bits.subarray(patch * width, (patch + patches) * width), hash);
      patch += patches;
    }
    const before = seen.get(hash) ?? 0;
    seen.set(hash, before + 1);
    return [hash, before];
  });
}

/* FNV-1a over whole numbers of 32 bits. */
function fnv(values: ArrayLike<number>, start: number): number {
  let hash = start;
  for (let i = 0; i < values.length; i++) hash = Math.imul(hash ^ (values[i] as number), 0x01000193);
  return hash;
}
