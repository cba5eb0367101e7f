import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/common/errors.ts';
import { parseModelConfig } from '../../src/config/model.ts';
import { readJson } from '../../src/common/json.ts';
import type { GridThw } from '../../src/model/positions.ts';
import { valueOf, type Weight } from '../../src/model/project.ts';
import { encodeImages, groupInputs, type Qwen25VL } from '../../src/model/qwen25vl.ts';
import { embedPatches, mergePatches, visionBlock } from '../../src/model/vision.ts';
import { layOutImages, windowsOf } from '../../src/model/visionLayout.ts';
import { compile } from '../../src/runtime/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import type { Golden } from '../support/safetensors.ts';
import { CASES, largestDifference, loadGoldenModel, MODELS, readCase } from './support.ts';

/* The issue's limit: this many times torch float32's own distance from float64. */
const FLOORS = 5;
const PATCH_WIDTH = 1176;
const MODELS_OF_GOLDENS = ['tiny-a', 'tiny-b'];
const IMAGE_CASES = CASES.filter((name) => name !== 'text_only');

const configOf = (model: string) => {
  const file = `${MODELS}${model}/config.json`;
  return parseModelConfig(readJson(file), file).vision;
};
const tinyA = configOf('tiny-a');
const MERGED = tinyA.spatialMergeSize ** 2;

/* 0 and the sums of the first 1, 2, ... numbers. */
const borders = (counts: readonly number[]): number[] =>
  counts.reduce((sums, count) => [...sums, (sums.at(-1) as number) + count], [0]);
const grid = (rows: number, columns: number): GridThw => [1, rows, columns];

describe.each(MODELS_OF_GOLDENS)('the layout of %s', (model) => {
  describe.each(IMAGE_CASES)('%s', (name) => {
    const { inputs, golden } = readCase(model, name);
    const vision = configOf(model);
    const grids = inputs.imageGridThw as unknown as GridThw[];
    const layout = layOutImages(grids, vision);
    const values = (key: string): number[] => Array.from((golden[`vision.${key}`] as Golden).data);

    it('takes the windows of transformers', () => {
      const windows = grids.map((one) => windowsOf(one, vision));
      const firsts = borders(windows.map((of) => of.flat().length));
      const order = windows.flatMap((of, i) => of.flat().map((token) => token + (firsts[i] as number)));
      expect(order).toEqual(values('window_index'));
      expect(borders(windows.flat().map(({ length }) => length * MERGED))).toEqual(
        values('cu_window_seqlens'),
      );
      expect(borders(layout.featureRows.map(({ length }) => length * MERGED))).toEqual(values('cu_seqlens'));
    });

    it('puts each patch where its token is, with the angles of transformers', () => {
      const patchRows = layout.groups.flatMap((group) => [...group.patchRows]);
      const half = vision.hiddenSize / vision.numHeads / 2;
      const angles = values('rotary_pos_emb');
      const [cos, sin] = (['cos', 'sin'] as const).map((table) =>
        layout.groups.flatMap((group) => [...group[table]]),
      ) as [number[], number[]];
      const rows = layout.featureRows.flatMap((tokens) =>
        [...tokens].flatMap((row) => Array.from({ length: MERGED }, (_, p) => row * MERGED + p)),
      );
      expect(rows.map((row) => patchRows[row])).toEqual(rows.map((_, patch) => patch));
      const laidOut = (table: number[]): number[] =>
        rows.flatMap((row) => table.slice(row * half, (row + 1) * half));
      expect(laidOut(cos)).toEqual(angles.map((angle) => Math.fround(Math.cos(angle))));
      expect(laidOut(sin)).toEqual(angles.map((angle) => Math.fround(Math.sin(angle))));
    });
  });
});

describe('layOutImages', () => {
  it('needs no bias where no window is padded', () => {
    const [group] = layOutImages([grid(32, 32)], tinyA).groups;
    expect(group).toMatchObject({ count: 1, windows: 16, windowPatches: 64, keyBias: undefined });
  });

  it('hides what is padding, whole windows too', () => {
    // 9 x 1 windows, the last of 2 rows of patches only; 9 is rounded up to 10.
    const [group] = layOutImages([grid(66, 8)], tinyA).groups;
    expect(group?.windows).toBe(10);
    const hidden = [...(group?.keyBias ?? [])].map((bias) => bias < -1e8);
    expect(hidden).toEqual(hidden.map((_, row) => row >= 8 * 64 + 2 * 8));
  });

  it.each([
    [8, 8],
    [9, 10],
    [16, 16],
    [17, 20],
    [33, 40],
    [41, 48],
  ])('rounds %i windows up to %i', (windows, rounded) => {
    expect(layOutImages([grid(8, 8 * windows)], tinyA).groups[0]?.windows).toBe(rounded);
  });

  it('encodes images of equal size together, no more than 16,384 patches at once', () => {
    const sizes = [grid(32, 32), grid(8, 16), ...Array.from({ length: 16 }, () => grid(32, 32))];
    const { groups, featureRows } = layOutImages(sizes, tinyA);
    expect(groups.map(({ images, patchRows }) => [images.length, patchRows.length])).toEqual([
      [16, 16_384],
      [1, 128],
      [1, 1024],
    ]);
    expect(groups[1]?.images).toEqual([1]);
    // The second image's features are behind the first group's.
    expect(featureRows[1]?.[0]).toBe(16_384 / MERGED);
    const all = featureRows.flatMap((rows) => [...rows]);
    expect(new Set(all).size).toBe(all.length);
  });

  it('encodes few images of unlike sizes apart', () => {
    const imagesOf = (sizes: GridThw[]): number[][] =>
      layOutImages(sizes, tinyA).groups.map(({ images }) => images);
    const few = [grid(8, 8), grid(4, 6), grid(8, 8)];
    expect(imagesOf(few)).toEqual([[0, 2], [1]]);
    const many = Array.from({ length: 16 }, (_, i) => grid(8, i === 3 ? 6 : 8));
    expect(imagesOf(many)).toEqual([many.map((_, i) => i)]);
  });

  it('refuses a video', () => {
    expect(() => layOutImages([[2, 8, 8]], tinyA)).toThrow(DataError);
  });
});

type Inputs = ReturnType<typeof readCase>['inputs'];

/* All goldens of the tower, in the layout's order, the groups one after the other. */
function towerOf(
  { vision, config }: Qwen25VL,
  { pixelValues, imageGridThw }: Inputs,
  way: 'eager' | 'compiled',
): Record<string, tf.Tensor> {
  const pixels = tf.tensor1d(pixelValues as Float32Array).reshape([-1, PATCH_WIDTH]);
  const layout = layOutImages(imageGridThw as unknown as GridThw[], config.vision);
  const isEager = way === 'eager';
  const groups = layout.groups.map((group) => {
    const { patchRows, ...tables } = groupInputs(group);
    let x = (isEager ? embedPatches : vision.embed)(vision.patchEmbed, pixels, patchRows);
    const steps: Record<string, tf.Tensor> = { patch_embed: x };
    vision.blocks.forEach((flat, i) => {
      const at = { ...tables, span: vision.spanOf(i, group) };
      x = isEager ? visionBlock(vision.blockTree(flat), x, at, vision.context) : vision.block(flat, x, at);
      steps[`block.${i}`] = x;
    });
    steps.merger = isEager
      ? mergePatches(vision.mergerTree(vision.merger), x, vision.context)
      : vision.merge(vision.merger, x);
    return steps;
  });
  const keys = Object.keys(groups[0] ?? {});
  return Object.fromEntries(
    keys.map((key) => [key, tf.concat(groups.map((steps) => steps[key] as tf.Tensor))]),
  );
}

/* The rows of `x` that tokens take, `unit` rows each. */
function rowsAt(x: tf.Tensor, tokens: readonly number[], unit: number): Float32Array {
  const rows = tokens.flatMap((token) => Array.from({ length: unit }, (_, p) => token * unit + p));
  return x.gather(tf.tensor1d(rows, 'int32')).dataSync<'float32'>();
}

onEveryBackend(() => {
  describe.each(MODELS_OF_GOLDENS)('%s', (name) => {
    describe.each(IMAGE_CASES)('%s', (caseName) => {
      it.each(['eager', 'compiled'] as const)(
        'gives the numbers of transformers, step by step, %s',
        (way) => {
          const { inputs, golden, floors } = readCase(name, caseName);
          using model = loadGoldenModel(name);
          const steps = tf.tidy(() => towerOf(model, inputs, way));
          const { featureRows } = layOutImages(
            inputs.imageGridThw as unknown as GridThw[],
            model.config.vision,
          );
          const inImageOrder = featureRows.flatMap((rows) => [...rows]);
          const windowIndex = Array.from((golden['vision.window_index'] as Golden).data);
          const inWindowOrder = windowIndex.map((token) => inImageOrder[token] as number);
          const check = (key: string, x: tf.Tensor, tokens: readonly number[], unit: number): void => {
            const limit = Math.max(FLOORS * (floors[`vision.${key}`] as number), 1e-6);
            const expected = (golden[`vision.${key}`] as Golden).data;
            expect(largestDifference(rowsAt(x, tokens, unit), expected), key).toBeLessThan(limit);
          };
          const { patch_embed, merger, ...blocks } = steps as Record<'patch_embed' | 'merger', tf.Tensor>;
          expect(Object.keys(blocks)).toHaveLength(model.config.vision.depth);
          check('patch_embed', patch_embed, inImageOrder, 4);
          for (const [key, x] of Object.entries<tf.Tensor>(blocks)) check(key, x, inWindowOrder, 4);
          check('merger_windowed', merger, inWindowOrder, 1);
          check('merger', merger, inImageOrder, 1);
        },
      );
    });
  });

  it('encodes images of different sizes in one call as each one alone', () => {
    const grids: GridThw[] = [
      [1, 8, 8],
      [1, 6, 14],
      [1, 16, 8],
      [1, 4, 4],
      [1, 8, 8],
    ];
    const patches = grids.map(([, rows, columns]) => rows * columns);
    const pixels = patches.map((count, image) =>
      Float32Array.from({ length: count * PATCH_WIDTH }, (_, i) => Math.sin(0.13 * i + image)),
    );
    using model = loadGoldenModel('tiny-a');
    using together = encodeImages(model, {
      pixelValues: Float32Array.from(pixels.flatMap((one) => [...one])),
      imageGridThw: grids.map((grid) => [...grid]),
    });
    grids.forEach((grid, i) => {
      using alone = encodeImages(model, {
        pixelValues: pixels[i] as Float32Array,
        imageGridThw: [[...grid]],
      });
      const [inAll, one] = [together.rows[i], alone.rows[0]].map((rows) => [...(rows as Int32Array)]) as [
        number[],
        number[],
      ];
      const difference = largestDifference(
        rowsAt(together.features as tf.Tensor, inAll, 1),
        rowsAt(alone.features as tf.Tensor, one, 1),
      );
      // The first and the last are of one size.
      if (i % 4 === 0) expect(difference, `image ${i}`).toBeLessThan(1e-5);
      else expect(difference, `image ${i}`).toBe(0);
    });
  });

  it.each(['windows', 'image'])(
    'has the gradients that its values have, attending within its %s',
    (within) => {
      using model = loadGoldenModel('tiny-a');
      const { vision, config } = model;
      const [group] = layOutImages([[1, 8, 12]], config.vision).groups;
      if (group === undefined) throw new Error('no group');
      const { cos, sin, keyBias } = groupInputs(group);
      const span = within === 'windows' ? group.windowPatches : group.windowPatches * group.windows;
      const at = { cos, sin, ...(keyBias && { keyBias }), span };
      const shape = [group.patchRows.length, config.vision.hiddenSize];
      const wave = (phase: number): tf.Tensor =>
      tf.range(0, shape.reduce((a, b) => a * b)).mul(0.9).add(phase).sin().reshape(shape); // prettier-ignore
      const dy = wave(1);
      const flat = vision.blocks[0] as (typeof vision.blocks)[number];
      const names = Object.keys(flat);
      const values = [wave(0), ...names.map((name) => valueOf(flat[name] as Weight))];

      const block = (x: tf.Tensor, ...weights: tf.Tensor[]): tf.Tensor => {
        const leaves = names.map((name, i) => [name, weights[i] as tf.Tensor] as const);
        return visionBlock(vision.blockTree(Object.fromEntries(leaves)), x, at, vision.context);
      };
      using run = compile(block);
      using gradients = compile((...inputs: tf.Tensor[]) =>
        tf.grads((...traced: tf.Tensor[]) => block(...(traced as [tf.Tensor])))(inputs, dy),
      );
      const weights = dy.dataSync<'float32'>();
      // In float64: as a float32 the sum would lose what the small steps change.
      const loss = (...inputs: tf.Tensor[]): number => {
        const y = run(...(inputs as [tf.Tensor])).dataSync<'float32'>();
        let sum = 0;
        for (let i = 0; i < y.length; i++) sum += (y[i] as number) * (weights[i] as number);
        return sum;
      };
      gradients(...values).forEach((gradient, i) => {
        // The derivative along the gradient is the gradient's length.
        const length = gradient.norm().dataSync()[0] as number;
        expect(length, names[i - 1] ?? 'x').toBeGreaterThan(0);
        const h = 0.02;
        const [above, below] = [h, -h].map((distance) => {
          const moved = values.map((value, j) =>
            i === j ? value.add(gradient.mul(distance / length)) : value,
          );
          return loss(...moved);
        }) as [number, number];
        const slope = (above - below) / (2 * h);
        expect(Math.abs(slope / length - 1), `${names[i - 1] ?? 'x'}: ${slope} and ${length}`).toBeLessThan(
          0.01,
        );
      });
    },
  );
});
