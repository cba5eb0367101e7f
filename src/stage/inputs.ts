import { readEosTokens } from '../config/generation.ts';
import {
  EVALUATED,
  type ImageConfig,
  type ImageQuirks,
  PICTURES,
  type PreSize,
  readImageConfig,
  RELEASED,
} from '../config/image.ts';
import type { ModelConfig } from '../config/model.ts';
import { createImagePool, type ImagePool } from '../data/image/pool.ts';
import { loadTokenizer, type Tokenizer } from '../data/text/tokenizer.ts';

/** What makes inputs of text and pictures in a training. Disposing of it ends the threads that read pictures. */
export interface StageInputs extends AsyncDisposable {
  tokenizer: Tokenizer;
  imageConfig: ImageConfig;
  quirks: ImageQuirks;
  pool: ImagePool;
  /** tokens that end a response */
  stopTokens: readonly number[];
}

/** How a config says that pictures are read. */
export interface PictureOptions {
  pictures: keyof typeof QUIRKS;
  /** default: that of `pictures` */
  preSize?: PreSize;
  minPixels?: number | undefined;
  maxPixels?: number | undefined;
}

const QUIRKS = { released: RELEASED, own: PICTURES, evaluated: EVALUATED };

/* One core is for what computes on the device. */
const IMAGE_THREADS = 1;

/**
 * Reads what a model's folder says of text and pictures.
 * @throws CheckpointError if a file is missing or damaged
 * @throws ConfigError if the limits contradict each other
 */
export function openInputs(folder: string, model: ModelConfig, options: PictureOptions): StageInputs {
  const imageConfig = readImageConfig(folder, model.vision, options);
  const base = QUIRKS[options.pictures];
  const quirks = { ...base, preSize: options.preSize ?? base.preSize };
  const tokenizer = loadTokenizer(folder);
  const stopTokens = readEosTokens(folder, model.text.vocabSize);
  const pool = createImagePool({ config: imageConfig, quirks, workers: IMAGE_THREADS });
  return {
    tokenizer,
    imageConfig,
    quirks,
    pool,
    stopTokens,
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}
