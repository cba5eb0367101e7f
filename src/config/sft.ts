import { z } from 'zod';
import { pathField } from './paths.ts';
import {
  optimiserSchema,
  pictureFields,
  progressFields,
  runFields,
  scheduleSchema,
  trainableFields,
} from './training.ts';

const dataSchema = z.strictObject({
  train: z
    .array(pathField('a file or folder of rows'))
    .min(1)
    .describe('files or folders of rows to train on'),
  validation: z
    .array(pathField('a file or folder of rows'))
    .min(1)
    .optional()
    .describe('the same to validate with'),
  cutoffTokens: z.int().positive().default(4096).describe('a longer row is not trained on, and counted'),
  ...pictureFields,
  preSize: z
    .enum(['none', 'sft', 'tapo'])
    .default('none')
    .describe(
      'how pictures are sized before the processor sizes them; sft: at most 768 x 768 pixels, as stage 1 was released; tapo: as stage 2',
    ),
});

const batchSchema = z.strictObject({
  rowsPerStep: z.int().positive().default(64).describe('rows of one update'),
  rowsPerMicroBatch: z.int().positive().default(4).describe('rows that are computed at once'),
  accumulation: z
    .enum(['token-mean', 'mean-of-means'])
    .default('token-mean')
    .describe(
      'the loss of a step: the mean over all of its tokens; or the mean over its micro-batches of their means, as both stages were released',
    ),
});

const validationSchema = z.strictObject({
  everySteps: z.int().positive().describe('steps from one validation to the next'),
  rows: z.int().positive().default(64).describe('of the validation data that are used'),
  maxNewTokens: z.int().positive().default(2048).describe('tokens of a generated answer at most'),
});

/** Chain-of-thought fine-tuning (stage 1 of the paper): what `finer1 sft --config` reads. */
export const sftSchema = z
  .strictObject({
    ...runFields,
    data: dataSchema.describe('rows and their pictures'),
    ...trainableFields,
    optimiser: optimiserSchema.prefault({}).describe('AdamW'),
    schedule: scheduleSchema.prefault({}).describe('of the learning rate'),
    batch: batchSchema.prefault({}).describe('how rows make a step'),
    epochs: z.number().positive().optional().describe('passes over the data; or give steps'),
    steps: z.int().positive().optional().describe('updates; or give epochs'),
    validation: validationSchema.optional().describe('loss, and accuracy by generation, on the way'),
    ...progressFields,
  })
  .superRefine(assertFits);

export type SftConfig = z.output<typeof sftSchema>;

interface Related {
  epochs?: number | undefined;
  steps?: number | undefined;
  dtype: string;
  optimiser: { kahan: boolean };
  batch: { rowsPerStep: number; rowsPerMicroBatch: number };
  data: { validation?: string[] | undefined; minPixels?: number | undefined; maxPixels?: number | undefined };
  validation?: object | undefined;
}

/* What only shows in two settings together. */
function assertFits(config: Related, context: z.RefinementCtx): void {
  const problem = (path: string[], message: string): void => {
    context.addIssue({ code: 'custom', path, message });
  };
  const { batch, data } = config;
  if (config.epochs !== undefined && config.steps !== undefined) {
    problem(['steps'], 'epochs and steps are both given; give one (`epochs: null` takes the other away).');
  }
  if (config.epochs === undefined && config.steps === undefined) {
    problem([], 'neither epochs nor steps is given; give one.');
  }
  if (batch.rowsPerMicroBatch > batch.rowsPerStep) {
    problem(
      ['batch', 'rowsPerMicroBatch'],
      `${batch.rowsPerMicroBatch} is more than rowsPerStep, ${batch.rowsPerStep}; give at most that.`,
    );
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
