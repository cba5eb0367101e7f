import type { GridThw } from '../model/positions.ts';
import type { ImageInputs } from '../model/qwen25vl.ts';
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
  return {
    inputIds: examples.map(({ ids }) => padded(ids, 0)),
    attentionMask: examples.map(({ ids }) => padded(ids.map(() => 1), 0)), // prettier-ignore
    labels: examples.map(({ labels }) => padded(labels, -100)),
    ...joinImages(examples.flatMap((example) => example.images)),
  };
}

/** The pictures of a batch behind one another, as a model takes them. */
export function joinImages(images: Example['images']): ImageInputs {
  const pixelValues = new Float32Array(images.reduce((sum, image) => sum + image.pixelValues.length, 0));
  let at = 0;
  for (const image of images) {
    pixelValues.set(image.pixelValues, at);
    at += image.pixelValues.length;
  }
  return {
    pixelValues: images.length === 0 ? null : pixelValues,
    imageGridThw: images.map(({ gridThw }) => [...gridThw]),
  };
}
