import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { CheckpointError, ConfigError } from '../common/errors.ts';
import { readJson } from '../common/json.ts';

const count = z.int().positive();

/** How the options of a question are ordered. */
export const OPTION_ORDERS = ['stored', 'shuffled', 'rotations', 'classify'] as const;

/** What `finer1 eval` is asked for. */
export const evalSchema = z.strictObject({
  model: z.string().min(1).describe("folder in Hugging Face's layout, or a hub id (owner/name)"),
  data: z.array(z.string().min(1)).min(1).describe('files or folders of test questions'),
  images: z.string().optional().describe('where the paths of pictures begin; default: beside each file'),
  openWorld: z.boolean().default(false).describe('ask without options'),
  options: z
    .array(z.enum(OPTION_ORDERS))
    .min(1)
    .optional()
    .describe(
      'orders of the options, each asked in a pass of its own; classify: shuffled, as candidates of `finer1 classify`; ' +
        'default: stored and shuffled',
    ),
  maxRisk: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('share of wrong answers to allow: which --min-probability of `finer1 classify` keeps it'),
  prompt: z
    .enum(['released', 'plain'])
    .default('released')
    .describe(
      'how a question is put: released, as the paper evaluates; plain, as it is, with the options behind it',
    ),
  siglip: z
    .string()
    .min(1)
    .optional()
    .describe('folder or hub id of a SigLIP: open-world answers are scored by similarity too'),
  seed: z.int().default(0).describe('of the shuffling, the rows that are drawn, and the intervals'),
  rows: count.optional().describe('so many rows of each file, drawn by the seed; default: all'),
  maxNewTokens: count.default(2048).describe('tokens of a response, at most'),
  batch: count.default(16).describe('questions that are answered at once'),
  compare: z.string().optional().describe('folder of another evaluation: the difference on common rows'),
  out: z.string().optional().describe('folder for answers.jsonl and results.json; a second run goes on'),
});

export type EvalConfig = z.infer<typeof evalSchema>;
/**
 * As the file has them, by seed and row, in each rotation; or by seed and row, and answered by `classify`.
 */
export type OptionOrder = (typeof OPTION_ORDERS)[number];
/** How a question is put: as the released evaluation does, or as it is, with the options behind it. */
export type PromptKind = EvalConfig['prompt'];

/**
 * Checks options and fills in what is left out.
 * @throws ConfigError that names each option that is wrong, or contradicts another
 */
export function parseEvalConfig(options: z.input<typeof evalSchema>): EvalConfig {
  const result = evalSchema.safeParse(options);
  if (!result.success) {
    throw new ConfigError(`The options of the evaluation are wrong:\n${z.prettifyError(result.error)}`);
  }
  const config = result.data;
  if (config.openWorld && config.options !== undefined) {
    throw new ConfigError('The open world has no options to order. Leave out --options or --open-world.');
  }
  if (!config.openWorld && config.siglip !== undefined) {
    throw new ConfigError('SigLIP scores answers of the open world only. Add --open-world, or leave it out.');
  }
  if (config.maxRisk !== undefined && config.options?.includes('classify') !== true) {
    throw new ConfigError(
      'There are probabilities in the pass classify only. Add it to --options, or leave out --max-risk.',
    );
  }
  if (config.compare !== undefined && config.out !== undefined) {
    if (resolve(config.compare) === resolve(config.out)) {
      throw new ConfigError(`${config.out} would be compared with itself. Name another folder by --compare.`);
    }
  }
  return config;
}

const penaltySchema = z.object({ repetition_penalty: z.number().positive().nullish() });

/**
 * The repetition penalty of a checkpoint's `generation_config.json`; 1 without one. transformers applies it to greedy
 * decoding too, so the released evaluation ran with it (1.05 in Qwen2.5-VL-3B-Instruct).
 *
 * @throws CheckpointError that names the file, if it is damaged
 */
export function readRepetitionPenalty(folder: string): number {
  const file = join(folder, 'generation_config.json');
  const result = penaltySchema.safeParse(existsSync(file) ? readJson(file) : {});
  if (!result.success) throw new CheckpointError(`${file} is wrong:\n${z.prettifyError(result.error)}`);
  return result.data.repetition_penalty ?? 1;
}
