import { join } from 'node:path';
import { readJson } from '../common/json.ts';
import { readFreeDisk, readMemory } from '../common/machine.ts';
import { createRandom, shuffled } from '../common/random.ts';
import { type ModelConfig, parseModelConfig } from '../config/model.ts';
import { pickRuntime } from '../config/runtime.ts';
import type { SftConfig } from '../config/sft.ts';
import { resolveModel } from '../data/hub.ts';
import { measureImage } from '../data/image/measure.ts';
import { readRows } from '../data/readers/dataset.ts';
import type { EvalRow } from '../data/rows.ts';
import { encodeRows, type SupervisedRow } from '../data/supervised.ts';
import { withOptions } from '../data/text/question.ts';
import { encodePrompt, IMAGE_MARK } from '../data/text/conversation.ts';
import { roundLength } from '../model/inputs.ts';
import { selectBackend, type SelectedBackend } from '../runtime/select.ts';
import { runningTensorFlow } from '../runtime/tensorflow/context.ts';
import { openInputs, type StageInputs } from './inputs.ts';
import { checkpointingOf, type Plan, planOf, type PlannedValidation } from './plan.ts';
import { type Advice, adviceFor } from './planAdvice.ts';
import { shapeOf } from './planBatches.ts';
import { type Measured, measureTraining } from './planMeasure.ts';
import { readShapes } from './planShapes.ts';

/** What is known when a training has its rows. */
export interface Training {
  config: SftConfig;
  backend: SelectedBackend;
  /** the model's folder, and its config */
  folder: string;
  model: ModelConfig;
  inputs: StageInputs;
  rows: readonly SupervisedRow[];
  tooLong: number;
  validationRows: readonly EvalRow[];
  machine: { programBytes: number; availableBytes: number };
  /** of this model on this machine; default: it is measured, which takes seconds */
  measured?: Measured;
}

/* Answers that a validation generates at once (stage/validate.ts). */
const RESPONSES_AT_ONCE = 32;
/* What reading pictures on a thread, JavaScript's rows and TensorFlow's own buffers come to: measured. */
const AT_WORK_BYTES = 280 * 2 ** 20;

/**
 * Plans a training without its weights: call it before they are loaded.
 * @throws CheckpointError if the headers of the weights are missing or damaged
 * @throws DataError if a picture of the validation has no header of one
 */
export async function planTraining(training: Training): Promise<Plan> {
  const { config, backend, folder, model, inputs, rows, tooLong, validationRows, machine } = training;
  const shapes = readShapes(folder, model, config);
  const length = roundLength(rows.reduce((sum, { ids }) => sum + ids.length, 0) / rows.length);
  const measured =
    training.measured ??
    (await measureTraining(model, {
      dtype: shapes.dtype,
      checkpointing: checkpointingOf(config, shapes),
      length,
    }));
  const validation = await planValidation(validationRows, inputs, model);
  const freeDiskBytes = await readFreeDisk(config.output);
  return planOf({
    config,
    backend,
    shapes,
    rows,
    tooLong,
    validation,
    measured,
    machine: { ...machine, freeDiskBytes },
  });
}

/**
 * What the process takes before it has a model, and what there is for it: call it when a backend is selected and
 * nothing is loaded. On a GPU both are of the GPU's memory.
 */
export function readMachine(): { programBytes: number; availableBytes: number } {
  const gpu = runningTensorFlow()?.devices.find(({ type }) => type === 'GPU');
  if (gpu !== undefined) return { programBytes: 0, availableBytes: gpu.memoryBytes };
  const own = process.memoryUsage.rss();
  return { programBytes: own + AT_WORK_BYTES, availableBytes: readMemory().availableBytes + own };
}

async function planValidation(
  rows: readonly EvalRow[],
  { tokenizer, imageConfig, quirks }: StageInputs,
  model: ModelConfig,
): Promise<PlannedValidation | undefined> {
  if (rows.length === 0) return undefined;
  const prompts = await Promise.all(
    rows.slice(0, RESPONSES_AT_ONCE).map(async ({ image, question, options }) => {
      const grid = await measureImage(image, imageConfig, quirks);
      const text = options.length === 0 ? question : withOptions(question, options);
      const turns = [{ role: 'user' as const, content: IMAGE_MARK + text }];
      const ids = encodePrompt(tokenizer, turns, [grid], imageConfig.mergeSize);
      return { ids, learnt: 0, images: [image] };
    }),
  );
  return { rows: rows.length, prompts: shapeOf(prompts, model) };
}

/** What of a plan can be compared with how it went, for `run.json`. */
export const predictionOf = ({ steps, time, memory }: Plan): Record<string, unknown> => ({
  steps: steps.total,
  seconds: time.totalSeconds,
  stepSeconds: time.stepSeconds,
  memoryBytes: memory.totalBytes,
  memory: memory.parts,
});

/**
 * How it went: the process's largest memory, and the seconds.
 * @param started of `performance.now()`, when the rows were there
 */
export const actualSince = (started: number, steps: number): Record<string, number> => ({
  steps,
  seconds: (performance.now() - started) / 1e3,
  memoryBytes: 1024 * process.resourceUsage().maxRSS,
});

/** A plan, and what to change where it does not fit. */
export interface PlannedSft {
  plan: Plan;
  /** empty where it fits */
  advice: Advice[];
}

/**
 * Plans chain-of-thought fine-tuning; no weight is loaded.
 * @throws ConfigError, DataError, CheckpointError, BackendError as the training would before its first step
 */
export async function planSft(config: SftConfig): Promise<PlannedSft> {
  const backend = await selectBackend(pickRuntime(config));
  const machine = readMachine();
  const folder = await resolveModel(config.model);
  const file = join(folder, 'config.json');
  const model = parseModelConfig(readJson(file), file);
  let measured: Measured | undefined;
  const planWith = async (changed: SftConfig): Promise<Plan> => {
    await using inputs = openInputs(folder, model, changed.data);
    const { cutoffTokens, train, validation } = changed.data;
    const chats = (await Promise.all(train.map((path) => readRows(path, 'chat')))).flat();
    const { rows, tooLong } = await encodeRows(chats, { ...inputs, cutoffTokens });
    const questions = changed.validation
      ? (await Promise.all((validation ?? []).map((path) => readRows(path, 'eval')))).flat()
      : [];
    const validationRows = shuffled(createRandom(changed.seed, 'validation rows'), questions).slice(
      0,
      changed.validation?.rows,
    );
    const plan = await planTraining({
      config: changed,
      backend,
      folder,
      model,
      inputs,
      rows,
      tooLong: tooLong.length,
      validationRows,
      machine,
      ...(measured && { measured }),
    });
    measured = plan.time.measured;
    return plan;
  };
  const plan = await planWith(config);
  return { plan, advice: await adviceFor(config, plan, planWith) };
}
