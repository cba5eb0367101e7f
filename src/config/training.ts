import { z } from 'zod';
import { messageOf } from '../common/errors.ts';
import { loadSchema } from './load.ts';
import { modelField, pathField } from './paths.ts';

/*
 * What both stages of training have in their configs. Defaults are those of the paper, where it gives them
 * (section 4.1 and the released code of stage 1).
 */

const fraction = z.number().min(0).lt(1);
const pattern = z.string().min(1).superRefine(assertRegExp);
const moduleNames = z.union([pattern, z.array(z.string().min(1)).min(1)], {
  error: 'Invalid input: expected a list of names, or one regular expression',
});

/** Model, run folder and runtime. */
export const runFields = {
  model: modelField('the model to start from: its folder, or a hub id (owner/name)'),
  output: pathField('the run folder: metrics, checkpoints, report'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(1)
    .describe('of the order of rows and of all that is drawn'),
  ...loadSchema.pick({
    backend: true,
    threads: true,
    gpuMemoryGrowth: true,
    gpuMemoryLimitMiB: true,
    dtype: true,
  }).shape,
};

/** Rows, and how their pictures are read. */
export const dataFields = {
  train: z
    .array(pathField('a file or folder of rows'))
    .min(1)
    .describe('files or folders of rows to train on'),
  validation: z
    .array(pathField('a file or folder of rows'))
    .min(1)
    .optional()
    .describe('the same to validate with'),
  ...loadSchema.pick({ pictures: true, minPixels: true, maxPixels: true }).shape,
  preSize: z
    .enum(['none', 'sft', 'tapo'])
    .default('none')
    .describe(
      'how pictures are sized before the processor sizes them; sft: at most 768 x 768 pixels, as stage 1 was released; tapo: as stage 2',
    ),
};

/** Which parameters are trained. */
export const trainableFields = {
  freeze: z
    .array(pattern)
    .default(['visual.*'])
    .describe(
      "regular expressions, found anywhere in a parameter's released name: what is not trained; default: vision tower and merger",
    ),
  lora: z
    .strictObject({
      r: z.int().positive().default(16).describe('rank of the factors'),
      alpha: z.number().positive().default(32).describe('the product of the factors is scaled by alpha / r'),
      targetModules: moduleNames
        .default(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'])
        .describe(
          'names of modules, or ends of names; or a regular expression that all of its path has to match',
        ),
      excludeModules: moduleNames
        .default('(.*\\.)?visual\\..*')
        .describe('the same for modules that are left out; default: the vision tower'),
    })
    .optional()
    .describe("train low-rank factors (peft's layout) instead of the weights"),
};

/** AdamW. */
export const optimiserSchema = z.strictObject({
  learningRate: z.number().positive().default(5e-6).describe('its peak'),
  betas: z
    .tuple([fraction, fraction])
    .default([0.9, 0.999])
    .describe('how slowly mean and square of the gradient move'),
  epsilon: z.number().positive().default(1e-8).describe('added to the root of the square'),
  weightDecay: z.number().min(0).default(0.1).describe('decoupled'),
  decayNormsAndBiases: z
    .boolean()
    .default(false)
    .describe("false: norms and biases do not decay, as in transformers' Trainer"),
  clipNorm: z.number().positive().default(1).describe('gradients are scaled down to this global norm'),
  kahan: z
    .boolean()
    .default(false)
    .describe('compensated updates of bfloat16 weights; the moments are bfloat16 then'),
  momentsDtype: z
    .enum(['float32', 'bfloat16'])
    .default('float32')
    .describe('how the moments are kept, unless kahan is on'),
});

export const scheduleSchema = z.strictObject({
  kind: z
    .enum(['cosine', 'linear', 'constant'])
    .default('cosine')
    .describe('how the learning rate falls after the warm-up'),
  warmupSteps: z.int().min(0).default(6).describe('steps in which it rises from 0 to its peak'),
});

/** What is kept on the way, and how much memory and how many bad steps are put up with. */
export const progressFields = {
  checkpointing: z
    .enum(['auto', 'none', 'blocks'])
    .default('auto')
    .describe(
      'blocks: activations are computed again, block by block, which takes less memory; none: they are kept, which is faster; auto: none where it fits',
    ),
  checkpoints: z
    .strictObject({
      everySteps: z.int().positive().default(50).describe('steps from one checkpoint to the next'),
      keepLast: z.int().positive().default(2).describe('checkpoints that are kept, besides the best'),
    })
    .prefault({})
    .describe('when a checkpoint is saved, besides at the end'),
  maxBadSteps: z
    .int()
    .positive()
    .default(10)
    .describe('the run ends after so many steps in a row whose loss or gradient was not finite'),
};

/** When and on what a training is validated. */
export const validationSchema = z.strictObject({
  everySteps: z.int().positive().describe('steps from one validation to the next'),
  rows: z.int().positive().default(64).describe('of the validation data that are used'),
  maxNewTokens: z.int().positive().default(2048).describe('tokens of a generated answer at most'),
});

/** Settings of both stages that have to fit one another. */
export interface RelatedSettings {
  epochs?: number | undefined;
  steps?: number | undefined;
  dtype: string;
  optimiser: { kahan: boolean };
  data: { validation?: string[] | undefined; minPixels?: number | undefined; maxPixels?: number | undefined };
  validation?: object | undefined;
}

/** What only shows in two settings together, in both stages. */
export function assertTraining(
  config: RelatedSettings,
  problem: (path: string[], message: string) => void,
): void {
  const { data } = config;
  if (config.epochs !== undefined && config.steps !== undefined) {
    problem(['steps'], 'epochs and steps are both given; give one (`epochs: null` takes the other away).');
  }
  if (config.epochs === undefined && config.steps === undefined) {
    problem([], 'neither epochs nor steps is given; give one.');
  }
  if (config.optimiser.kahan && config.dtype === 'float32') {
    problem(
      ['optimiser', 'kahan'],
      'it is for bfloat16 weights, but dtype is float32; change one of the two.',
    );
  }
  if (config.validation !== undefined && data.validation === undefined) {
    problem(['validation'], 'there are no rows to validate with; give data.validation too.');
  }
  if (data.minPixels !== undefined && data.maxPixels !== undefined && data.minPixels > data.maxPixels) {
    problem(
      ['data', 'minPixels'],
      `${data.minPixels} is more than maxPixels, ${data.maxPixels}; give at most that.`,
    );
  }
}

/* Zod's own message would hide what is wrong with the expression. */
function assertRegExp(text: string, context: z.RefinementCtx): void {
  try {
    new RegExp(text);
  } catch (error) {
    context.addIssue(`Invalid input: expected a regular expression (${messageOf(error)})`);
  }
}
