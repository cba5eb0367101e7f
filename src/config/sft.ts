import { z } from 'zod';
import {
  assertTraining,
  dataFields,
  optimiserSchema,
  progressFields,
  type RelatedSettings,
  runFields,
  scheduleSchema,
  trainableFields,
  validationSchema,
} from './training.ts';

const dataSchema = z.strictObject({
  ...dataFields,
  cutoffTokens: z.int().positive().default(4096).describe('a longer row is not trained on, and counted'),
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

interface Related extends RelatedSettings {
  batch: { rowsPerStep: number; rowsPerMicroBatch: number };
}

/* What only shows in two settings together. */
function assertFits(config: Related, context: z.RefinementCtx): void {
  const problem = (path: string[], message: string): void => {
    context.addIssue({ code: 'custom', path, message });
  };
  const { batch } = config;
  assertTraining(config, problem);
  if (batch.rowsPerMicroBatch > batch.rowsPerStep) {
    problem(
      ['batch', 'rowsPerMicroBatch'],
      `${batch.rowsPerMicroBatch} is more than rowsPerStep, ${batch.rowsPerStep}; give at most that.`,
    );
  }
}
