import { z } from 'zod';
import { CheckpointError, messageOf } from '../common/errors.ts';

/** What an adapter's `adapter_config.json` says. */
export interface LoraConfig {
  /** rank of the factors */
  r: number;
  /** the product of the factors is scaled by `alpha / r` */
  alpha: number;
  /** names of modules, or ends of names; or a regular expression that all of a module's path has to match */
  targetModules: string | readonly string[];
  /** the same for modules that are left out */
  excludeModules: string | readonly string[] | undefined;
  /** folder or hub id of the model that it belongs to */
  baseModel: string | undefined;
}

const modules = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
  error: 'expected a list of names, or one regular expression',
});

const only = (value: boolean, what: string) =>
  z.literal(value, { error: `only ${value} is supported: ${what}` }).nullish();
const unset = (what: string) =>
  z
    .union([z.null(), z.literal(false), z.array(z.never()).max(0)], {
      error: `is not supported, expected null: ${what}`,
    })
    .optional();
const noPattern = z
  .record(z.string(), z.never(), { error: 'only {} is supported: one rank and one alpha for all modules' })
  .nullish();

/*
 * Of the fields that peft writes, those that change what an adapted module computes, or what the file holds. The
 * others say how the factors were found, which no longer matters.
 */
const adapterSchema = z.object({
  peft_type: z.literal('LORA', { error: 'only LORA is supported' }),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  target_modules: modules,
  exclude_modules: modules.nullish(),
  base_model_name_or_path: z.string().nullish(),
  lora_dropout: z.literal(0, { error: 'only 0 is supported' }).default(0),
  bias: z.literal('none', { error: 'only "none" is supported' }).default('none'),
  init_lora_weights: z
    .union([z.boolean(), z.enum(['gaussian', 'eva', 'orthogonal'])], {
      error:
        'only true, false, "gaussian", "eva" and "orthogonal" are supported: others change the weights of the model too',
    })
    .nullish(),
  rank_pattern: noPattern,
  alpha_pattern: noPattern,
  fan_in_fan_out: only(false, 'weights are [out, in]'),
  use_rslora: only(false, 'the scale is alpha / r'),
  use_dora: only(false, 'no magnitudes'),
  use_qalora: only(false, 'no quantisation'),
  lora_bias: only(false, 'the factors have no bias'),
  modules_to_save: unset('only the factors are read'),
  layers_to_transform: unset('name the layers in target_modules'),
  layer_replication: unset('no layer is repeated'),
  target_parameters: unset('name modules in target_modules'),
  trainable_token_indices: unset('only the factors are read'),
  alora_invocation_tokens: unset('the adapter works on all tokens'),
  megatron_config: unset('no parallel layers'),
  arrow_config: unset('one adapter'),
  use_bdlora: unset('no block-diagonal factors'),
  kasa_config: unset('two factors only'),
  velora_config: unset('two factors only'),
  monteclora_config: unset('two factors only'),
});

/**
 * Reads `adapter_config.json`, as peft writes it.
 * @param json its parsed content
 * @param file for messages
 * @throws CheckpointError that names the file and each field that is wrong or asks for other arithmetic
 */
export function parseLoraConfig(json: unknown, file: string): LoraConfig {
  const result = adapterSchema.safeParse(json);
  if (!result.success) {
    throw new CheckpointError(
      `${file} is wrong, or of an adapter that is not supported:\n${z.prettifyError(result.error)}`,
    );
  }
  const { data } = result;
  const config: LoraConfig = {
    r: data.r,
    alpha: data.lora_alpha,
    targetModules: data.target_modules,
    excludeModules: data.exclude_modules ?? undefined,
    baseModel: data.base_model_name_or_path ?? undefined,
  };
  for (const value of [config.targetModules, config.excludeModules]) {
    if (typeof value === 'string') toRegExp(value, file);
  }
  return config;
}

/** `adapter_config.json` as peft reads it. */
export function toAdapterJson(config: LoraConfig): Record<string, unknown> {
  return {
    base_model_name_or_path: config.baseModel ?? null,
    bias: 'none',
    exclude_modules: config.excludeModules ?? null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: config.alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: config.r,
    rank_pattern: {},
    alpha_pattern: {},
    target_modules: config.targetModules,
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: false,
  };
}

/**
 * Whether an adapter is on a module, by peft's rule: a list names modules or the ends of their paths, a regular
 * expression has to match the whole path.
 *
 * @param path the module's path as peft sees it, with the names of the transformers in use:
 *   `model.language_model.layers.0.self_attn.q_proj` (from 4.52 on), `model.layers.0.self_attn.q_proj` (before)
 * @throws CheckpointError for a regular expression that cannot be used
 */
export function matchesTarget(
  { targetModules, excludeModules }: Pick<LoraConfig, 'targetModules' | 'excludeModules'>,
  path: string,
): boolean {
  return matches(targetModules, path) && !(excludeModules !== undefined && matches(excludeModules, path));
}

function matches(modules: string | readonly string[], path: string): boolean {
  if (typeof modules === 'string') return toRegExp(modules, 'The adapter').test(path);
  return modules.some((name) => path === name || path.endsWith(`.${name}`));
}

/** What Python's regular expressions have and JavaScript's read as something else. */
const PYTHON_ONLY = /\\[AZ]|\(\?P[=>]|\(\?\(|\(\?#|\(\?[aiLmsux]+[-:)]|[*+?}]\+/;

function toRegExp(pattern: string, where: string): RegExp {
  const unknown = PYTHON_ONLY.exec(pattern)?.[0];
  try {
    if (unknown !== undefined) throw new SyntaxError(`${unknown} is not supported`);
    return new RegExp(`^(?:${pattern.replaceAll('(?P<', '(?<')})$`);
  } catch (error) {
    throw new CheckpointError(
      `${where}: ${JSON.stringify(pattern)} in target_modules or exclude_modules cannot be used as a regular expression ` +
        `(${messageOf(error)}). Give a list of names instead.`,
    );
  }
}
