import type { GridThw } from '../model/positions.ts';
import type { LabelledInputs } from './loss.ts';

/** A row that is trained on, encoded. */
export interface Example {
  ids: number[];
  /** as long as `ids`; -100 where nothing is learnt */
  labels: number[];
  /** `[patches, 1176]` each */
  images: readonly { pixelValues: Float32Array; gridThw: GridThw }[];
}

/** Joins examples to one batch, padded on the right. */
export function collate(examples: readonly Example[]): LabelledInputs {
  const length = Math.max(...examples.map(({ ids }) => ids.length));
  const padded = (row: readonly number[], value: number): number[] =>
    Array.from({ length }, (_, i) => row[i] ?? value);
  const images = examples.flatMap((example) => example.images);
  const pixels = new Float32Array(images.reduce((sum, { pixelValues }) => sum + pixelValues.length, 0));
  let at = 0;
  for (const { pixelValues } of images) {
    pixels.set(pixelValues, at);
    at += pixelValues.length;
  }
  return {
    inputIds: examples.map(({ ids }) => padded(ids, 0)),
    attentionMask: examples.map(({ ids }) => padded(ids.map(() => 1), 0)), // prettier-ignore
    labels: examples.map(({ labels }) => padded(labels, -100)),
    pixelValues: images.length === 0 ? null : pixels,
    imageGridThw: images.map(({ gridThw }) => [...gridThw]),
  };
}
