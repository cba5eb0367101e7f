import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { CheckpointError, messageOf } from '../common/errors.ts';
import { readJson } from '../common/json.ts';
import type { ImageConfig } from '../config/image.ts';
import { replaceFolder } from '../model/modelFolder.ts';
import type { Optimiser } from './optimiser.ts';
import type { TrainedModel } from './trainedModel.ts';

const stateSchema = z.object({
  /** steps that are done, those that were skipped included */
  step: z.int().min(0),
  /** updates that the optimiser applied */
  updates: z.int().min(0),
  /** steps in a row, up to here, that were skipped */
  badSteps: z.int().min(0),
  skippedSteps: z.int().min(0),
  best: z.object({ step: z.int(), accuracy: z.number() }).optional(),
  /** of stage 2 */
  tapo: z
    .object({
      /** prompts that were drawn so far: where the next ones begin */
      drawn: z.int().min(0),
      /** mean length of the first step's responses */
      firstLength: z.number().nullable(),
      /** steps in a row, up to here, in which an alarm would sound, by its name */
      warnings: z.record(z.string(), z.int()),
    })
    .optional(),
});

/** Where a training is. The rows to come follow from the seed and from this. */
export type TrainingState = z.infer<typeof stateSchema>;

/** Where a training begins. */
export const firstState = (): TrainingState => ({ step: 0, updates: 0, badSteps: 0, skippedSteps: 0 });

/** What a checkpoint is written of. */
export interface CheckpointContent {
  model: TrainedModel;
  optimiser: Optimiser;
  state: TrainingState;
  /** how pictures were scaled: the checkpoint says so, so that they are in use */
  images: ImageConfig;
}

const PREPROCESSOR = 'preprocessor_config.json';
const [FOLDER, STATE, MOMENTS] = ['training', 'state.json', 'optimiser.safetensors'];

/**
 * Writes a checkpoint: a model's (or adapter's) folder with `training/` in it. A kill at any moment leaves a whole one
 * of that name or none.
 *
 * @throws CheckpointError if it cannot be written
 */
export function saveCheckpoint(folder: string, { model, optimiser, state, images }: CheckpointContent): void {
  replaceFolder(folder, (fresh) => {
    model.save(fresh);
    writeLimits(join(fresh, PREPROCESSOR), images);
    const training = join(fresh, FOLDER);
    mkdirSync(training, { recursive: true });
    optimiser.save(join(training, MOMENTS));
    writeFileSync(join(training, STATE), `${JSON.stringify(state, undefined, 2)}\n`);
  });
}

/* An adapter's folder has no such file: pictures are scaled as its base model says. */
function writeLimits(file: string, { minPixels, maxPixels }: ImageConfig): void {
  if (!existsSync(file)) return;
  const stored = readJson(file) as { size?: object };
  const size = stored.size && { size: { ...stored.size, shortest_edge: minPixels, longest_edge: maxPixels } };
  const json = { ...stored, ...size, min_pixels: minPixels, max_pixels: maxPixels };
  writeFileSync(file, `${JSON.stringify(json, undefined, 2)}\n`);
}

/**
 * Reads where a checkpoint's training was, and gives the optimiser its moments.
 * @throws CheckpointError if a file is missing or damaged, or is of another training
 */
export function resumeFrom(folder: string, optimiser: Optimiser): TrainingState {
  const file = join(folder, FOLDER, STATE);
  let state: TrainingState;
  try {
    state = stateSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new CheckpointError(
      `${file} cannot be read (${messageOf(error)}): nothing goes on from there. Delete that checkpoint to go on from ` +
        'the one before it.',
    );
  }
  optimiser.load(join(folder, FOLDER, MOMENTS), state.updates);
  return state;
}
