import { z } from 'zod';

/*
 * The loss of stage 2, switch by switch, and what the presets set. They are declared here and read in `tapo/` only.
 */

const estimator = z
  .enum(['kl', 'abs', 'mse', 'low_var_kl'])
  .describe('how KL is estimated from log-probabilities; low_var_kl: k3');
const coefficient = z.number().min(0);
const share = z.number().gt(0).lt(1);

const klInterSchema = z.strictObject({
  coefficient: coefficient.describe('gamma: KL(pi | anchor, pi | negative) is pushed up by it; 0: off'),
  estimator,
  topShare: share.nullable().describe('only the tokens where it is highest count, this share; null: all'),
  clip: z
    .number()
    .positive()
    .nullable()
    .describe('no more of it counts for a token; null: as the estimator has it'),
  finalCoefficient: coefficient
    .nullable()
    .describe('what gamma falls to in a line by the end, the entropies with it; null: it stays'),
});

const lossFields = {
  surrogate: z
    .enum(['token', 'sequence', 'cispo'])
    .describe('ratios by token (PPO), by sequence (GSPO), or clipped as a weight (CISPO)'),
  clipLow: z.number().gt(0).max(1).describe('a ratio counts down to 1 - clipLow'),
  clipHigh: z.number().gt(0).describe('and up to 1 + clipHigh'),
  dualClip: z
    .number()
    .gt(1)
    .nullable()
    .describe('bound of the ratio where the advantage is negative; null: none'),
  average: z
    .enum(['token', 'sequence', 'constant'])
    .describe(
      'mean over tokens; over responses of their means; or sum over tokens by responses and maxNewTokens',
    ),
  accumulation: z
    .enum(['token-mean', 'mean-of-means'])
    .describe('mean over all of an update; or over its micro-batches of their means, as released'),
  advantagesByStd: z.boolean().describe("advantages are divided by their group's standard deviation"),
  klInter: klInterSchema,
  entropyCoefficient: coefficient.describe('eta1: H[pi], minimised'),
  entropyNegativeCoefficient: coefficient.describe('eta2: H[pi | negative], minimised'),
  klRef: z.strictObject({
    coefficient: coefficient.describe('beta: KL to the frozen reference; 0: off'),
    estimator,
  }),
  sftCoefficient: coefficient.describe('of the likelihood of right responses; 0: off'),
  negativeGradient: z
    .boolean()
    .describe(
      'the gradient goes through pi | negative too (paper); false: it is computed before the update (released)',
    ),
  trainPositiveOn: z
    .enum(['anchor', 'positive'])
    .describe(
      "the picture that a positive's response is trained on: the anchor (paper), or its own (released)",
    ),
};

/** The loss, every switch set. */
export type TapoLoss = { [K in keyof typeof lossFields]: z.output<(typeof lossFields)[K]> };

/** The same with switches left out, as a person gives it. */
export const partialLossSchema = z
  .strictObject({
    ...lossFields,
    klInter: klInterSchema.partial().describe('inter-class augmentation: apart from the negative picture'),
    klRef: lossFields.klRef.partial().describe('not far from the reference'),
  })
  .partial();

export type PartialTapoLoss = z.output<typeof partialLossSchema>;

/** What can be chosen as `variant`. */
export const VARIANTS = ['paper', 'released', 'dapo', 'grpo', 'dr-grpo', 'gspo', 'cispo'] as const;
export type Variant = (typeof VARIANTS)[number];

const PAPER: TapoLoss = {
  surrogate: 'token',
  clipLow: 0.2,
  clipHigh: 0.28,
  dualClip: 3,
  average: 'token',
  accumulation: 'token-mean',
  advantagesByStd: true,
  klInter: { coefficient: 0.01, estimator: 'low_var_kl', topShare: null, clip: null, finalCoefficient: null },
  entropyCoefficient: 0.03,
  entropyNegativeCoefficient: 0.03,
  klRef: { coefficient: 0, estimator: 'low_var_kl' },
  sftCoefficient: 0,
  negativeGradient: true,
  trainPositiveOn: 'anchor',
};

/* The paper's table 1 without what is TAPO's. */
const DAPO: TapoLoss = {
  ...PAPER,
  klInter: { ...PAPER.klInter, coefficient: 0 },
  entropyCoefficient: 0,
  entropyNegativeCoefficient: 0,
  negativeGradient: false,
  trainPositiveOn: 'positive',
};
const GRPO: TapoLoss = {
  ...DAPO,
  clipHigh: 0.2,
  dualClip: null,
  average: 'sequence',
  klRef: { coefficient: 0.04, estimator: 'low_var_kl' },
};

const PRESETS: Record<Variant, TapoLoss> = {
  // Section 3.2. KL_ref is in its objective; the released runs disable it.
  paper: PAPER,
  // What the released code does (`update_policy`, `_make_batch_data`).
  released: { ...PAPER, accumulation: 'mean-of-means', negativeGradient: false, trainPositiveOn: 'positive' },
  dapo: DAPO,
  // DeepSeekMath, equation 3 and section 4.2.
  grpo: GRPO,
  // Liu et al. 2025: no division by length, none by the deviation.
  'dr-grpo': {
    ...GRPO,
    average: 'constant',
    advantagesByStd: false,
    klRef: { ...GRPO.klRef, coefficient: 0 },
  },
  // Zheng et al. 2025, section 5.1.
  gspo: {
    ...GRPO,
    surrogate: 'sequence',
    clipLow: 3e-4,
    clipHigh: 4e-4,
    klRef: { ...GRPO.klRef, coefficient: 0 },
  },
  // MiniMax-M1, equation 4: no lower bound; its upper one is not given there, 4 is ours.
  cispo: { ...DAPO, surrogate: 'cispo', clipLow: 1, clipHigh: 4, dualClip: null },
};

/** A variant's loss with single switches set otherwise. */
export function lossOf(variant: Variant, { klInter, klRef, ...switches }: PartialTapoLoss = {}): TapoLoss {
  const preset = PRESETS[variant];
  const given = <T extends object>(values: T): Partial<T> =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
  return {
    ...preset,
    ...given(switches),
    klInter: { ...preset.klInter, ...given(klInter ?? {}) },
    klRef: { ...preset.klRef, ...given(klRef ?? {}) },
  } as TapoLoss;
}
