import { z } from 'zod';
import { pathField } from './paths.ts';
import { lossOf, partialLossSchema, VARIANTS } from './tapoLoss.ts';
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

/** What the released stage 2 puts behind each question, after a blank line (`format_prompt/cls_thinking.jinja`). */
const INSTRUCTION =
  'You first think through the reasoning process as an internal monologue, enclosed within <think> </think> tags. Then, ' +
  'provide your final answer enclosed within <answer> </answer> tags.';

const share = z.number().min(0).max(1);

const dataSchema = z.strictObject({
  ...dataFields,
  train: dataFields.train.describe('files of triplets: parquet, or JSONL'),
  instruction: z
    .string()
    .default(INSTRUCTION)
    .describe(
      "what follows each question after a blank line, in training; default: the released text; '': nothing",
    ),
  maxPromptTokens: z.int().positive().default(4096).describe('a longer prompt is left out, and counted'),
});

const rolloutSchema = z.strictObject({
  n1: z.int().min(1).default(5).describe('responses on the anchor'),
  n2: z
    .int()
    .min(0)
    .default(5)
    .describe('responses on the positive, in the same group (intra-class augmentation); 0: without it'),
  temperature: z.number().positive().default(1).describe('of what is drawn, and of all log-probabilities'),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(0.99)
    .describe('draws from the likeliest tokens that have this probability'),
  maxNewTokens: z.int().positive().default(2048).describe('tokens of a response at most'),
  promptsAtOnce: z.int().positive().default(128).describe('prompts that are sampled, then filtered'),
  responsesAtOnce: z
    .int()
    .positive()
    .default(64)
    .describe('responses that are generated side by side: as memory for their keys and values allows'),
});

const rewardSchema = z.strictObject({
  kind: z
    .enum(['released', 'strict', 'module'])
    .default('released')
    .describe(
      'released: the label occurs in the answer; strict: it is the only known class that is named; module: your own',
    ),
  module: pathField(
    'a TypeScript or JavaScript file that exports a function `reward`, for kind: module',
  ).optional(),
  formatWeight: share
    .default(0.1)
    .describe('share of the form in the reward; the rest is for the right name'),
  allowExploits: z
    .boolean()
    .default(false)
    .describe('train by a reward of your own although the fuzzer finds responses that it should not pay for'),
});

const filterSchema = z.strictObject({
  enabled: z
    .boolean()
    .optional()
    .describe(
      'dynamic sampling: drop groups that are nearly always right or wrong; default: as the variant has it',
    ),
  low: share.default(0.01).describe('mean accuracy of a group, above which it is kept'),
  high: share.default(0.99).describe('and below which'),
  maxTries: z.int().positive().default(20).describe('times that prompts are drawn for a step'),
  whenExhausted: z
    .enum(['train', 'stop'])
    .default('stop')
    .describe('after maxTries: train on what there is, or stop with a message'),
  keepAllWhenNone: z
    .boolean()
    .optional()
    .describe(
      'where no group drawn at once is kept, keep them all; default: as the variant has it (released: true)',
    ),
});

const batchSchema = z.strictObject({
  promptsPerStep: z.int().positive().default(384).describe('prompts (groups) of a rollout batch: a step'),
  promptsPerUpdate: z.int().positive().default(128).describe('of them in an update (mini-batch)'),
  passes: z.int().positive().default(1).describe('times that a rollout batch is gone through'),
  responsesPerMicroBatch: z
    .int()
    .positive()
    .default(4)
    .describe('responses that are differentiated at once; with mean-of-means also the unit of the mean'),
  responsesPerScoring: z.int().positive().default(16).describe('responses that are scored at once'),
});

const alarmsSchema = z.strictObject({
  minFormat: share.default(0.5).describe('share of responses in the right form'),
  maxTruncated: share.default(0.5).describe('share of responses that were cut at maxNewTokens'),
  minLength: share.default(0.2).describe("mean length of responses, as a share of the first step's"),
  minEntropy: z
    .number()
    .min(0)
    .default(0.005)
    .describe("entropy of the policy, by the mean of its tokens' -log-probabilities, in nats"),
  maxEntropy: z.number().positive().default(4).describe('the same, from above'),
  afterSteps: z
    .int()
    .positive()
    .default(3)
    .describe('steps in a row beyond a limit, after which the run is saved and stops'),
});

const generationsSchema = z.strictObject({
  keepSteps: z
    .int()
    .positive()
    .default(20)
    .describe('the last steps whose log-probabilities are kept, token by token, for finer1 tapo replay'),
});

/* As in stage 1, with the paper's values of stage 2. */
const tapoOptimiserSchema = optimiserSchema.extend({
  learningRate: withDefault(optimiserSchema.shape.learningRate, 1e-6),
  weightDecay: withDefault(optimiserSchema.shape.weightDecay, 0.01),
});
const tapoScheduleSchema = scheduleSchema.extend({
  kind: withDefault(scheduleSchema.shape.kind, 'constant'),
  warmupSteps: withDefault(scheduleSchema.shape.warmupSteps, 0),
});

/** Triplet augmented policy optimisation (stage 2 of the paper): what `finer1 tapo --config` reads. */
export const tapoSchema = z
  .strictObject({
    ...runFields,
    variant: z
      .enum(VARIANTS)
      .default('released')
      .describe('the objective: of the paper, of the released code, or another one without its parts'),
    loss: partialLossSchema
      .prefault({})
      .describe('single switches of the objective, otherwise than the variant has them'),
    data: dataSchema.describe('triplets and their pictures'),
    ...trainableFields,
    rollout: rolloutSchema.prefault({}).describe('how responses are drawn'),
    reward: rewardSchema.prefault({}).describe('what responses earn'),
    filter: filterSchema.prefault({}).describe('which groups are trained on'),
    batch: batchSchema.prefault({}).describe('how groups make updates'),
    optimiser: tapoOptimiserSchema.prefault({}).describe('AdamW'),
    schedule: tapoScheduleSchema.prefault({}).describe('of the learning rate, by steps'),
    epochs: z.number().positive().optional().describe('passes over the triplets; or give steps'),
    steps: z.int().positive().optional().describe('rollout batches; or give epochs'),
    validation: validationSchema.optional().describe('accuracy by generation, on the way'),
    generations: generationsSchema.prefault({}).describe('what is kept of responses'),
    alarms: alarmsSchema.prefault({}).describe('when a run is so far off that it is stopped'),
    ...progressFields,
  })
  .superRefine(assertFits);

export type TapoConfig = z.output<typeof tapoSchema>;

/** What a config leaves to its variant, decided. */
export function decided({ variant, loss, filter }: Pick<TapoConfig, 'variant' | 'loss' | 'filter'>) {
  return {
    loss: lossOf(variant, loss),
    filters: filter.enabled ?? ['paper', 'released', 'dapo', 'cispo'].includes(variant),
    keepAllWhenNone: filter.keepAllWhenNone ?? variant === 'released',
  };
}

interface Related extends RelatedSettings {
  reward: { kind: string; module?: string | undefined };
  rollout: { n1: number; n2: number };
  filter: { low: number; high: number };
  batch: { promptsPerStep: number; promptsPerUpdate: number };
}

/* What only shows in two settings together. */
function assertFits(config: Related, context: z.RefinementCtx): void {
  const problem = (path: string[], message: string): void => {
    context.addIssue({ code: 'custom', path, message });
  };
  const { batch, rollout, reward, filter } = config;
  assertTraining(config, problem);
  if (batch.promptsPerUpdate > batch.promptsPerStep) {
    problem(
      ['batch', 'promptsPerUpdate'],
      `${batch.promptsPerUpdate} is more than promptsPerStep, ${batch.promptsPerStep}; give at most that.`,
    );
  }
  if (rollout.n1 + rollout.n2 < 2) {
    problem(['rollout', 'n1'], 'a group of one response has no advantage; give n1 + n2 of 2 at least.');
  }
  if (reward.kind === 'module' && reward.module === undefined) {
    problem(['reward', 'module'], 'kind is module, but no file is given; give its path.');
  }
  if (reward.kind !== 'module' && reward.module !== undefined) {
    problem(
      ['reward', 'module'],
      `it is given, but kind is ${reward.kind}; set kind: module, or take it out.`,
    );
  }
  if (filter.low >= filter.high) {
    problem(['filter', 'low'], `${filter.low} is not below high, ${filter.high}: every group would go.`);
  }
}

/* The same setting with another default. */
function withDefault<T extends z.ZodType>(
  setting: z.ZodDefault<T>,
  value: z.util.NoUndefined<z.output<T>>,
): z.ZodDefault<T> {
  return setting
    .unwrap()
    .default(value)
    .describe(setting.description ?? '');
}
