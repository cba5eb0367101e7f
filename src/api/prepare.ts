import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '../common/errors.ts';
import { type ImageConfig, type ImageQuirks, PICTURES, readImageConfig, RELEASED } from '../config/image.ts';
import type { LoadConfig } from '../config/load.ts';
import type { ModelConfig } from '../config/model.ts';
import type { ImageSource } from '../data/image/decode.ts';
import { createImagePool } from '../data/image/pool.ts';
import { processImage, type ProcessedImage } from '../data/image/process.ts';
import {
  type ChatTemplate,
  expandImages,
  imagesIn,
  loadChatTemplate,
  type Message,
} from '../data/text/chatTemplate.ts';
import { loadTokenizer, type Tokenizer } from '../data/text/tokenizer.ts';
import type { ModelInputs } from '../model/inputs.ts';

/**
 * Makes inputs of conversations and pictures. Pictures that are prepared at the same time, in one call or several, are
 * processed on threads; a single one is not. Disposing of it ends the threads, which keep no process alive.
 */
export interface Preparer extends AsyncDisposable {
  /** undefined where the checkpoint's folder has none */
  tokenizer: Tokenizer | undefined;
  imageConfig: ImageConfig;
  prepare(messages: readonly Message[], images?: readonly ImageSource[]): Promise<ModelInputs>;
}

/**
 * Reads what a checkpoint's folder says of text and pictures.
 * @throws CheckpointError if a file is damaged, or does not fit the model
 */
export function createPreparer(folder: string, model: ModelConfig, options: LoadConfig): Preparer {
  const imageConfig = readImageConfig(folder, model.vision, options);
  const quirks: ImageQuirks = options.pictures === 'released' ? RELEASED : PICTURES;
  const tokenizer = existsSync(join(folder, 'tokenizer.json')) ? loadTokenizer(folder) : undefined;
  const template: ChatTemplate = loadChatTemplate(folder);
  const pool = createImagePool({ config: imageConfig, quirks });
  let underWay = 0;
  const processAll = async (sources: readonly ImageSource[]): Promise<ProcessedImage[]> => {
    const isSingle = underWay + sources.length === 1;
    underWay += sources.length;
    try {
      return await Promise.all(
        sources.map((source) =>
          isSingle ? processImage(source, imageConfig, quirks) : pool.process(source),
        ),
      );
    } finally {
      underWay -= sources.length;
    }
  };
  return {
    tokenizer,
    imageConfig,
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    prepare: async (messages, images = []) => {
      if (tokenizer === undefined) {
        throw new DataError(
          `${folder} holds no tokenizer.json: text cannot be encoded. Fetch the tokenizer's files.`,
        );
      }
      const processed = await processAll([...images, ...imagesIn(messages)]);
      const grids = processed.map(({ gridThw }) => gridThw);
      const addGenerationPrompt = messages.at(-1)?.role !== 'assistant';
      const text = expandImages(template(messages, { addGenerationPrompt }), grids, imageConfig.mergeSize);
      const ids = tokenizer.encode(text);
      return {
        inputIds: [ids],
        attentionMask: [ids.map(() => 1)],
        pixelValues: processed.length === 0 ? null : join32(processed.map(({ pixelValues }) => pixelValues)),
        imageGridThw: grids.map((grid) => [...grid]),
      };
    },
  };
}

function join32(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Joins inputs of several conversations to one batch, padded on the left. */
export function batchInputs(parts: readonly ModelInputs[], padTokenId = 0): ModelInputs {
  const rows = parts.flatMap(({ inputIds, attentionMask }) =>
    inputIds.map((ids, i) => ({ ids, mask: attentionMask[i] as number[] })),
  );
  const length = Math.max(...rows.map(({ ids }) => ids.length));
  const pad = (row: readonly number[], value: number): number[] => [
    ...Array.from({ length: length - row.length }, () => value),
    ...row,
  ];
  const pixels = parts.flatMap(({ pixelValues }) => pixelValues ?? []);
  return {
    inputIds: rows.map(({ ids }) => pad(ids, padTokenId)),
    attentionMask: rows.map(({ mask }) => pad(mask, 0)),
    pixelValues: pixels.length === 0 ? null : join32(pixels),
    imageGridThw: parts.flatMap(({ imageGridThw }) => imageGridThw),
  };
}
