/*
 * What the quickstart and the experiments share: the synthetic set, both stages on it, and how right a model is.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfigFile } from '../src/config/file.ts';
import { sftSchema } from '../src/config/sft.ts';
import { tapoSchema } from '../src/config/tapo.ts';
import { readRows } from '../src/data/readers/dataset.ts';
import { DEFAULT_OPTIONS } from '../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../src/data/synthetic/write.ts';
import { trainSft } from '../src/sft/trainer.ts';
import { selectBackend } from '../src/runtime/index.ts';
import { openInputs } from '../src/stage/inputs.ts';
import type { TrainOptions } from '../src/stage/loop.ts';
import { ask } from '../src/stage/validate.ts';
import { trainTapo } from '../src/tapo/trainer.ts';
import { loadForTraining } from '../src/train/trainedModel.ts';

export const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));

export const SPLITS = ['seen', 'unseen'] as const;
export type Split = (typeof SPLITS)[number];

/** Of each question: 1 where the answer is exactly the right name, and where the response has the right form. */
export type Rightness = Record<Split, { right: number[]; formed: number[] }>;

const MAX_NEW_TOKENS = 96;

/** A checkpoint that a training ended with. */
export interface Trained {
  checkpoint: string;
  /** undefined where it went on from what was broken off */
  seconds: number | undefined;
}

/* Trains, or goes on with what is in the output's folder. */
async function train<C extends { output: string }>(
  config: C,
  stage: (config: C, options: TrainOptions) => Promise<{ checkpoint: string }>,
): Promise<Trained> {
  const started = performance.now();
  const resume = existsSync(join(config.output, 'run.json'));
  const { checkpoint } = await stage(config, { resume });
  return { checkpoint, seconds: resume ? undefined : (performance.now() - started) / 1e3 };
}

/** Draws the birds of a seed into a folder. */
export async function drawBirds(folder: string, seed: number): Promise<string> {
  const birds = join(folder, 'birds');
  await writeSyntheticSet(birds, { ...DEFAULT_OPTIONS, seed });
  return birds;
}

/** Stage 1 on the birds by a config, from the base model, without validation on the way. */
export function fineTune(
  folder: string,
  birds: string,
  seed: number,
  file = path('configs/tiny-sft.yaml'),
): Promise<Trained> {
  const config = loadConfigFile(file, sftSchema, [
    `seed=${seed}`,
    `output=${join(folder, 'sft')}`,
    `data.train=[${join(birds, 'sft.json')}]`,
    'data.validation=null',
    'validation=null',
  ]);
  return train(config, trainSft);
}

/** Stage 2 on the birds by a config, from a checkpoint of stage 1, without validation on the way. */
export function reinforce(
  folder: string,
  birds: string,
  from: { seed: number; model: string; name: string; config: string },
): Promise<Trained> {
  const config = loadConfigFile(from.config, tapoSchema, [
    `seed=${from.seed}`,
    `model=${from.model}`,
    `output=${join(folder, from.name)}`,
    `data.train=[${join(birds, 'triplets.jsonl')}]`,
    'data.validation=null',
    'validation=null',
  ]);
  return train(config, trainTapo);
}

/** Asks a model all test questions: four options in another order each time, an exact name counts. */
export async function examine(model: string, birds: string): Promise<Rightness> {
  await selectBackend({ backend: 'auto' });
  using loaded = loadForTraining(model, { dtype: 'auto', freeze: [], seed: 0 });
  const { config } = loaded.network;
  await using inputs = openInputs(model, config, { pictures: 'own', preSize: 'none' });
  const result: Partial<Rightness> = {};
  for (const split of SPLITS) {
    const rows = await readRows(join(birds, `eval_${split}.jsonl`), 'eval');
    const answered = await ask(loaded.network, rows, inputs, MAX_NEW_TOKENS);
    result[split] = {
      right: answered.map(({ isRight }) => Number(isRight)),
      formed: answered.map(({ isWellFormed }) => Number(isWellFormed)),
    };
  }
  return result as Rightness;
}
