import { DataError } from '../common/errors.ts';
import type { VisionConfig } from '../config/model.ts';
import { rotaryFrequencies } from '../ops/rotary.ts';
import type { GridThw } from './positions.ts';

/** Images that are encoded together: I of them, W windows each, S patches a window. */
export interface VisionGroup {
  /** which images */
  images: number[];
  /** I */
  count: number;
  /** W: windows of each image; those of padding are the last */
  windows: number;
  /** S */
  windowPatches: number;
  /** `[I W S]`: the input patch of each row; 0 at padding */
  patchRows: Int32Array;
  /** `[I W S]`: 0, or very negative at padding; undefined where there is none */
  keyBias: Float32Array | undefined;
  /** `[I W S, D / 2]` */
  cos: Float32Array;
  sin: Float32Array;
}

/** How images are laid out for the encoder. */
export interface VisionLayout {
  groups: VisionGroup[];
  /** for each image, the rows of all groups' outputs (one after the other) that its tokens take, in their order */
  featureRows: Int32Array[];
}

const ROPE_THETA = 10_000;
const HIDDEN_KEY = -1e9;
/** Patches that are encoded at once, at most. */
const PATCHES_AT_ONCE = 2 ** 14;
/*
 * Of fewer, only images of one size are encoded together: a product's last bits follow from how many rows it has, and where
 * images differ, nobody should see which others there are.
 */
const MIXED_PATCHES = 1024;

/** A window of merged tokens of an image: their numbers in raster order. */
type Window = number[];

/**
 * The windows of an image: squares of merged tokens, smaller at its right and lower edge (`get_window_index` of
 * transformers' Qwen2.5-VL).
 */
export function windowsOf([, height, width]: GridThw, vision: VisionConfig): Window[] {
  const { spatialMergeSize } = vision;
  const side = windowSide(vision);
  const [rows, columns] = [height / spatialMergeSize, width / spatialMergeSize];
  const windows: Window[] = [];
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      const window: Window = [];
      for (let row = top; row < Math.min(top + side, rows); row++) {
        for (let column = left; column < Math.min(left + side, columns); column++) {
          window.push(row * columns + column);
        }
      }
      windows.push(window);
    }
  }
  return windows;
}

/* Side of a window in merged tokens. */
const windowSide = ({ windowSize, spatialMergeSize, patchSize }: VisionConfig): number =>
  Math.floor(windowSize / spatialMergeSize / patchSize);

/**
 * Lays images out in windows: each window padded to its full size, each image to a number of windows that few sizes
 * share, and images of equal numbers together. Inside of the encoder nothing has to be reordered.
 *
 * @throws DataError for a video
 */
export function layOutImages(grids: readonly GridThw[], vision: VisionConfig): VisionLayout {
  const windows = grids.map((grid) => {
    if (grid[0] !== 1) {
      throw new DataError(
        `A grid of ${grid.join(' x ')} patches is a video; finer1 encodes images (1 x rows x columns).`,
      );
    }
    return windowsOf(grid, vision);
  });
  const groups = groupBySize(
    grids,
    windows.map(({ length }) => roundWindows(length)),
    vision,
  );
  const firstPatch = prefixSums(grids.map(([time, height, width]) => time * height * width));
  const featureRows: Int32Array[] = [];
  let featuresBefore = 0;
  const laidOut = groups.map(({ images, size }) => {
    const builder = new GroupBuilder(images, size, vision);
    images.forEach((image, i) => {
      const rows = builder.add(
        i,
        grids[image] as GridThw,
        windows[image] as Window[],
        firstPatch[image] as number,
      );
      featureRows[image] = rows.map((row) => featuresBefore + row);
    });
    featuresBefore += builder.features;
    return builder.group;
  });
  return { groups: laidOut, featureRows };
}

/** Rounds a number of windows up, by an eighth at most where there are many. */
function roundWindows(count: number): number {
  const step = count <= 8 ? 1 : count <= 16 ? 2 : count <= 32 ? 4 : 8;
  return Math.ceil(count / step) * step;
}

function groupBySize(
  grids: readonly GridThw[],
  sizes: readonly number[],
  vision: VisionConfig,
): { images: number[]; size: number }[] {
  const windowPatches = (windowSide(vision) * vision.spatialMergeSize) ** 2;
  const patches = windowPatches * sizes.reduce((sum, size) => sum + size, 0);
  const groups: { images: number[]; size: number; grid: string }[] = [];
  sizes.forEach((size, image) => {
    const grid = patches < MIXED_PATCHES ? String(grids[image]) : '';
    const most = Math.max(1, Math.floor(PATCHES_AT_ONCE / (size * windowPatches)));
    const open = groups.find(
      (group) => group.size === size && group.grid === grid && group.images.length < most,
    );
    if (open === undefined) groups.push({ images: [image], size, grid });
    else open.images.push(image);
  });
  return groups;
}

function prefixSums(counts: readonly number[]): number[] {
  let sum = 0;
  return counts.map((count) => (sum += count) - count);
}

class GroupBuilder {
  readonly group: VisionGroup;
  /** rows of the merger's output */
  readonly features: number;
  private readonly frequencies: Float32Array;

  constructor(
    images: number[],
    private readonly windows: number,
    private readonly vision: VisionConfig,
  ) {
    const headDim = vision.hiddenSize / vision.numHeads;
    this.frequencies = rotaryFrequencies(ROPE_THETA, headDim / 2);
    const windowPatches = (windowSide(vision) * vision.spatialMergeSize) ** 2;
    const rows = images.length * windows * windowPatches;
    this.features = rows / vision.spatialMergeSize ** 2;
    this.group = {
      images,
      count: images.length,
      windows,
      windowPatches,
      patchRows: new Int32Array(rows),
      keyBias: undefined,
      cos: new Float32Array((rows * headDim) / 2).fill(1),
      sin: new Float32Array((rows * headDim) / 2),
    };
  }

  /** Puts an image in; returns the feature row of each of its merged tokens. */
  add(i: number, [, , width]: GridThw, windows: readonly Window[], firstPatch: number): Int32Array {
    const { windowPatches } = this.group;
    const merge = this.vision.spatialMergeSize;
    const unit = merge ** 2;
    const columns = width / merge;
    const rows = new Int32Array(windows.reduce((sum, { length }) => sum + length, 0));
    for (let w = 0; w < this.windows; w++) {
      const window = windows[w] ?? [];
      const firstRow = (i * this.windows + w) * windowPatches;
      window.forEach((token, t) => {
        rows[token] = firstRow / unit + t;
        for (let p = 0; p < unit; p++) {
          const row = firstRow + t * unit + p;
          this.group.patchRows[row] = firstPatch + token * unit + p;
          this.setAngles(
            row,
            Math.floor(token / columns) * merge + Math.floor(p / merge),
            (token % columns) * merge + (p % merge),
          );
        }
      });
      this.hide(firstRow + window.length * unit, firstRow + windowPatches);
    }
    return rows;
  }

  private hide(from: number, to: number): void {
    if (from === to) return;
    this.group.keyBias ??= new Float32Array(this.group.patchRows.length);
    this.group.keyBias.fill(HIDDEN_KEY, from, to);
  }

  /* The rows' frequencies turn by the row, then the same ones by the column. */
  private setAngles(at: number, row: number, column: number): void {
    const { cos, sin } = this.group;
    const count = this.frequencies.length;
    this.frequencies.forEach((frequency, f) => {
      [row, column].forEach((position, axis) => {
        const angle = Math.fround(position * frequency);
        const index = (2 * at + axis) * count + f;
        cos[index] = Math.cos(angle);
        sin[index] = Math.sin(angle);
      });
    });
  }
}
