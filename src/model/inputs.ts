import { DataError } from '../common/errors.ts';
import type { ModelConfig } from '../config/model.ts';
import type { SharedPrompts } from '../ops/sharedPromptAttention.ts';
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
 * @throws DataError if ids, mask, images and grids do not fit one another, an id is not in the vocabulary, the mask is
 *   0 between tokens that count, or a pixel value is not finite
 */
export function rowsOf(inputs: ModelInputs, config: ModelConfig): Row[] {
  assertShapes(inputs);
  assertImages(inputs, config);
  let image = 0;
  const rows = inputs.inputIds.map((sequence, row) => {
    const ids = attendedIds(sequence, inputs.attentionMask[row] as number[], row);
    assertTokens(ids, `inputIds[${row}]`, config);
    const grids = gridsFor(ids, row, inputs.imageGridThw.slice(image), config);
    image += grids.length;
    return { ids, grids };
  });
  const images = inputs.imageGridThw.length;
  if (image === images) return rows;
  throw new DataError(
    `${images} images were given; the sequences have image tokens for ${image}. Give one image for each ` +
      '<|image_pad|> of the prompt.',
  );
}

function assertShapes({ inputIds, attentionMask }: ModelInputs): void {
  if (inputIds.length === 0) throw new DataError('inputIds has no sequence; give at least one.');
  if (attentionMask.length !== inputIds.length) {
    throw new DataError(
      `attentionMask has ${attentionMask.length} rows; inputIds has ${inputIds.length}. Both have to be equal.`,
    );
  }
  const length = inputIds[0]?.length;
  for (const [row, ids] of inputIds.entries()) {
    if (ids.length !== length) {
      throw new DataError(
        `inputIds[${row}] has ${ids.length} places; inputIds[0] has ${length}. Pad the sequences to one length ` +
          '(batchInputs() does).',
      );
    }
    const found = attentionMask[row]?.length;
    if (found === length) continue;
    throw new DataError(
      `attentionMask[${row}] has ${found} places; inputIds[${row}] has ${length}. Both have to be equal.`,
    );
  }
}

function attendedIds(sequence: readonly number[], mask: readonly number[], row: number): readonly number[] {
  const odd = mask.findIndex((value) => value !== 0 && value !== 1);
  if (odd !== -1) {
    throw new DataError(
      `attentionMask[${row}][${odd}] is ${mask[odd]}; 1 (a token) or 0 (padding) was expected.`,
    );
  }
  const [from, to] = [mask.indexOf(1), mask.lastIndexOf(1) + 1];
  if (from === -1) {
    throw new DataError(
      `inputIds[${row}] has no token that counts: its mask is 0 throughout. Give at least one token, or leave the ` +
        'row out.',
    );
  }
  const hole = mask.indexOf(0, from);
  if (hole !== -1 && hole < to) {
    throw new DataError(
      `attentionMask[${row}] is 0 at place ${hole}, between tokens that count (places ${from} and ${to - 1}). Padding ` +
        'belongs before or behind a sequence: take the token out instead.',
    );
  }
  return sequence.slice(from, to);
}

/**
 * Asserts that tokens are in the vocabulary.
 * @param where they stand, for the message
 * @throws DataError that names the first one that is not
 */
export function assertTokens(ids: readonly number[], where: string, { text }: ModelConfig): void {
  const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < text.vocabSize));
  if (wrong === -1) return;
  throw new DataError(
    `${where} holds ${ids[wrong]} as its token ${wrong}; the model's vocabulary has ${text.vocabSize} tokens, from 0 ` +
      "on. Is the tokenizer the checkpoint's own?",
  );
}

/* The grids of a sequence's images: as many of those that are left as its image tokens ask for. */
function gridsFor(
  ids: readonly number[],
  row: number,
  left: readonly (readonly number[])[],
  config: ModelConfig,
): GridThw[] {
  const wanted = ids.filter((id) => id === config.imageTokenId).length;
  const grids: GridThw[] = [];
  let tokens = 0;
  while (tokens < wanted && grids.length < left.length) {
    const grid = left[grids.length] as unknown as GridThw;
    grids.push(grid);
    tokens += patchesOf(grid) / config.vision.spatialMergeSize ** 2;
  }
  if (tokens === wanted) return grids;
  throw new DataError(
    `inputIds[${row}] has ${wanted} image tokens, but the ${grids.length} images that are there for it ask for ` +
      `${tokens}. Give one image for each <|image_pad|> of the prompt, and expand each to the image's number of merged ` +
      'patches (prepare() does).',
  );
}

const patchesOf = ([time, height, width]: GridThw): number => time * height * width;

function assertImages({ pixelValues, imageGridThw }: ModelInputs, { vision }: ModelConfig): void {
  const merge = vision.spatialMergeSize;
  for (const [i, grid] of imageGridThw.entries()) {
    const [, height, width] = grid as unknown as GridThw;
    const isGrid = grid.length === 3 && grid.every((size) => Number.isInteger(size) && size > 0);
    if (isGrid && height % merge === 0 && width % merge === 0) continue;
    throw new DataError(
      `imageGridThw[${i}] is [${grid.join(', ')}]; three whole numbers above 0 were expected, rows and columns ` +
        `multiples of ${merge}.`,
    );
  }
  const patches = imageGridThw.reduce((sum, grid) => sum + patchesOf(grid as unknown as GridThw), 0);
  const width = vision.inChannels * vision.temporalPatchSize * vision.patchSize ** 2;
  const found = pixelValues?.length ?? 0;
  if (found !== patches * width) {
    throw new DataError(
      `pixelValues holds ${found} values; the grids in imageGridThw ask for ${patches} patches of ${width}, ` +
        `${patches * width} values.`,
    );
  }
  if (pixelValues !== null) assertFinite(pixelValues, width);
}

function assertFinite(pixels: Float32Array, width: number): void {
  // Anything that is not finite makes a sum NaN: one pass without a branch, and four sums that do not wait for one another.
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < pixels.length; i += 4) {
    a += (pixels[i] as number) * 0;
    b += (pixels[i + 1] as number) * 0;
    c += (pixels[i + 2] as number) * 0;
    d += (pixels[i + 3] as number) * 0;
  }
  if (a + b + c + d === 0) return;
  const at = pixels.findIndex((value) => !Number.isFinite(value));
  if (at === -1) return; // The last four were not all there.
  throw new DataError(
    `pixelValues holds ${pixels[at]} in patch ${Math.floor(at / width)} (value ${at % width} of ${width}); finite ` +
      'numbers were expected. Is the picture normalised with a standard deviation of 0?',
  );
}

/** Sequences padded on the right to one length; padding never reaches a token, as attention is causal. */
export interface TextBatch {
  /** B */
  rows: number;
  /** L */
  length: number;
  lengths: readonly number[];
  /** place (of B L) of each sequence's first token */
  starts: readonly number[];
  /** `[B, L]` */
  ids: Int32Array;
  /** `[3, B, L]`: time, row and column */
  positions: Int32Array;
  /** position of the token after the last, for each row */
  next: readonly number[];
  /** where the rows are prompts whose responses follow in the same row of the batch (`layOutFamilies`) */
  shared?: SharedPrompts;
}

/**
 * Lays rows out for the decoder.
 * @param length to pad to; default: the longest row's, rounded up to a bucket, so that few shapes are traced
 * @throws DataError if the image tokens of a row do not fit its grids
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
    const { thw, next } = ropeIndex(row, config, b);
    ids.set(row.ids, b * length);
    thw.forEach((axis, a) => {
      positions.set(axis, (a * count + b) * length);
    });
    return next;
  });
  return {
    rows: count,
    length,
    lengths: rows.map((row) => row.ids.length),
    starts: rows.map((_, b) => b * length),
    ids,
    positions,
    next,
  };
}

/** Rounds a length up: by less than 32 places up to 256, and by a quarter at most beyond. */
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
    for (const patches of grids.map(patchesOf)) {
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
