/// <reference lib="esnext.disposable" preserve="true" />
/** The package's entry `finer1`. */
export { loadModel, type Logits, type LossAndGradients, type Model } from './api/loadModel.ts';
export { batchInputs } from './api/prepare.ts';
export { BackendError, CheckpointError, ConfigError, DataError } from './common/errors.ts';
export type { LoadOptions } from './config/load.ts';
export type { ImageSource } from './data/image/decode.ts';
export type { ContentPart, Message } from './data/text/chatTemplate.ts';
export type { FinishReason, GeneratedPart, GenerateOptions, Generation } from './model/generate.ts';
export type { ModelInputs } from './model/inputs.ts';
export type { ResponseScores } from './model/score.ts';
export type { LabelledInputs, Trainable } from './train/loss.ts';
