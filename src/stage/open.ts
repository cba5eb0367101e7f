import { messageOf } from '../common/errors.ts';
import { createRandom, shuffled } from '../common/random.ts';
import { readImageConfig } from '../config/image.ts';
import { pickRuntime } from '../config/runtime.ts';
import type { SftConfig } from '../config/sft.ts';
import { resolveModel } from '../data/hub.ts';
import { assertSameImageConfig } from '../data/image/sameConfig.ts';
import { readRows } from '../data/readers/dataset.ts';
import type { EvalRow } from '../data/rows.ts';
import { selectBackend, type SelectedBackend } from '../runtime/select.ts';
import { hashFiles, hashWeights } from '../train/run/provenance.ts';
import { openRun, type Run } from '../train/run/runFolder.ts';
import { loadForTraining, type TrainedModel } from '../train/trainedModel.ts';
import { openInputs, type PictureOptions, type StageInputs } from './inputs.ts';
import type { TrainOptions, TrainResult } from './loop.ts';
import { actualSince, readMachine } from './planSft.ts';

/** What both stages' configs say of model, run, data and validation. */
export type StageConfig = Pick<
  SftConfig,
  | 'model'
  | 'output'
  | 'seed'
  | 'backend'
  | 'threads'
  | 'gpuMemoryGrowth'
  | 'gpuMemoryLimitMiB'
  | 'dtype'
  | 'freeze'
  | 'lora'
  | 'validation'
> & { data: PictureOptions & { train: string[]; validation?: string[] | undefined } };

/** A stage's run with what it trains. */
export interface OpenStage {
  run: Run;
  backend: SelectedBackend;
  /** the folder of the model that the run began with */
  folder: string;
  model: TrainedModel;
  inputs: StageInputs;
  /** a sample of the validation rows, the same in every validation; none where there is no validation */
  validationRows: readonly EvalRow[];
  /** of before the model was loaded */
  machine: ReturnType<typeof readMachine>;
}

/**
 * Opens the run's folder, the backend, the model and what makes its inputs, runs `train` on them, and closes all. How it
 * ended, and how long it took, is in `run.json`.
 *
 * @throws ConfigError if the run's folder is in use, or a setting does not fit the model
 * @throws CheckpointError if the model or a checkpoint cannot be read
 */
export async function inStage(
  config: StageConfig,
  { resume, signal }: TrainOptions,
  train: (opened: OpenStage) => Promise<TrainResult>,
): Promise<TrainResult> {
  using run = openRun(config.output, { config, resume });
  try {
    const backend = await selectBackend(pickRuntime(config));
    const machine = readMachine();
    const folder = await resolveModel(config.model, signal === undefined ? {} : { signal });
    using model = loadForTraining(folder, {
      ...config,
      lora: config.lora && { ...config.lora, baseModel: config.model },
      resumeFrom: run.resumedFrom?.folder,
    });
    await using inputs = openInputs(folder, model.network.config, config.data);
    if (run.resumedFrom !== undefined && config.lora === undefined) {
      const trained = readImageConfig(run.resumedFrom.folder, model.network.config.vision, {});
      assertSameImageConfig(trained, inputs.imageConfig, run.resumedFrom.folder);
    }
    const validationRows = await readValidationRows(config);
    run.note({ backend, model: folder, seed: config.seed });
    if (run.resumedFrom === undefined) {
      run.note({ data: await hashFiles(config.data.train), weights: await hashWeights(folder) });
    }
    const started = performance.now();
    const result = await train({ run, backend, folder, model, inputs, validationRows, machine });
    run.note({ actual: actualSince(started, result.state.step - (run.resumedFrom?.step ?? 0)) });
    run.end(result.finished ? 'finished' : 'interrupted');
    return result;
  } catch (error) {
    run.end('failed', messageOf(error));
    throw error;
  }
}

async function readValidationRows({ data, validation, seed }: StageConfig): Promise<EvalRow[]> {
  if (validation === undefined) return [];
  const rows = (await Promise.all((data.validation ?? []).map((path) => readRows(path, 'eval')))).flat();
  return shuffled(createRandom(seed, 'validation rows'), rows).slice(0, validation.rows);
}
