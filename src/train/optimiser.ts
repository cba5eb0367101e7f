import * as tf from '@tensorflow/tfjs';
import { BackendError, CheckpointError, ConfigError } from '../common/errors.ts';
import { contentOf, loadTensor } from '../model/parameters.ts';
import { readSafetensorsHeader, writeSafetensors } from '../model/safetensors.ts';
import { adamw, type AdamWConstants, adamwScalars, type AdamWState, kahanAdamw } from '../ops/adamw.ts';
import { compile } from '../runtime/compile.ts';
import { halfSumOfSquares } from '../runtime/sumOfSquares.ts';
import { Variable } from '../runtime/variable.ts';
import type { Gradients } from './vjp.ts';

/** How AdamW updates. */
export interface OptimiserConfig extends AdamWConstants {
  weightDecay: number;
  /** off (default): norms and biases do not decay, as in transformers' Trainer */
  decayNormsAndBiases?: boolean;
  /** the gradient is scaled down to this global norm */
  clipNorm: number;
  /** compensated updates of bfloat16 parameters */
  kahan?: boolean;
  /** how the moments are kept; default: float32 */
  momentsDtype?: 'float32' | 'bfloat16';
}

/** What a step did. */
export interface UpdateResult {
  /** the gradient's global norm, before it is clipped */
  norm: number;
  /** false where the norm was not finite: then nothing has changed */
  applied: boolean;
}

/** AdamW over some parameters of a model. */
export interface Optimiser extends Disposable {
  /** steps that were applied */
  readonly steps: number;
  /** Updates the parameters; the gradients stay the caller's. */
  update(gradients: Gradients, learningRate: number): Promise<UpdateResult>;
  /** Writes the moments (safetensors). */
  save(file: string): void;
  /**
   * Goes on from moments that were saved.
   * @throws CheckpointError if they are not those of the same parameters
   */
  load(file: string, steps: number): void;
}

const PARTS = ['mean', 'square', 'compensation'] as const;
/* torch's names for them. */
const STORED = { mean: 'exp_avg', square: 'exp_avg_sq', compensation: 'compensation' } as const;
const UNDECAYED = /bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)/;

/**
 * Whether a parameter is no norm and no bias, as transformers' Trainer goes by names: `norm1`, `norm2` and `ln_q` of the
 * vision tower do decay.
 *
 * @param name as released
 */
export const decaysByName = (name: string): boolean => !UNDECAYED.test(name);

/**
 * Makes AdamW for parameters of a model.
 *
 * @param parameters those that are trained, by their released names
 * @param fused one function updates all (a small model); else one call each, so that all of one shape share a function.
 *   Compensated updates are always the latter: one function of all takes XLA 8 s to compile for 80 parameters
 * @throws ConfigError if the updates are to be compensated and a parameter is not bfloat16
 */
export function createOptimiser(
  parameters: ReadonlyMap<string, Variable>,
  config: OptimiserConfig,
  fused: boolean,
): Optimiser {
  const { kahan = false, clipNorm, weightDecay, betas, epsilon, decayNormsAndBiases = false } = config;
  const constants: AdamWConstants = { betas, epsilon };
  if (kahan) assertBfloat16(parameters);
  const states = new Map(
    [...parameters].map(([name, parameter]) => [name, stateOf(name, parameter, config)] as const),
  );
  const { squares, apply, dispose } = createUpdates(constants, kahan);
  const groups = groupsOf(states, (name) => decayNormsAndBiases || decaysByName(name), fused && !kahan);
  let steps = 0;

  const normOf = async (gradients: readonly tf.Tensor[]): Promise<number> => {
    const halves = squares(gradients);
    const values = await halves.data<'float32'>();
    halves.dispose();
    return Math.sqrt(2 * values.reduce((sum, value) => sum + value, 0));
  };

  return {
    get steps() {
      return steps;
    },
    update: async (gradients, learningRate) => {
      const gradientOf = (name: string): tf.Tensor => gradientIn(gradients, name);
      const norm = await normOf([...states.keys()].map(gradientOf));
      if (!Number.isFinite(norm)) return { norm, applied: false };
      steps++;
      // As torch.nn.utils.clip_grad_norm_ does.
      const scale = Math.min(1, clipNorm / (norm + 1e-6));
      const scalars = adamwScalars({ step: steps, learningRate, weightDecay, scale }, constants, kahan);
      for (const { names, parts, decays } of groups) apply(parts, names.map(gradientOf), scalars, decays);
      scalars.dispose();
      return { norm, applied: true };
    },
    save: (file) => {
      const tensors = [...states].flatMap(([name, state]) =>
        PARTS.flatMap((part) => {
          const variable = state[part];
          return variable === undefined ? [] : [[`${STORED[part]}.${name}`, contentOf(variable)] as const];
        }),
      );
      writeSafetensors(file, new Map(tensors));
    },
    load: (file, stepsBefore) => {
      restore(states, file);
      steps = stepsBefore;
    },
    [Symbol.dispose]: () => {
      dispose();
      for (const state of states.values()) for (const part of PARTS) state[part]?.dispose();
    },
  };
}

/* The compiled functions: half the sums of squares [gradients], and the update of some parameters. */
function createUpdates(constants: AdamWConstants, kahan: boolean) {
  const squares = compile((gradients: readonly tf.Tensor[]) => tf.stack(gradients.map(halfSumOfSquares)), {
    name: 'squares',
  });
  // XLA: all of an update in a few passes over memory and none of it in new memory; a graph takes a tensor for each op.
  const apply = compile(
    (
      parts: readonly AdamWState[],
      gradients: readonly tf.Tensor[],
      scalars: tf.Tensor1D,
      decays: readonly boolean[],
    ) => {
      parts.forEach((part, i) => {
        const rest = [gradients[i] as tf.Tensor, scalars, decays[i] as boolean, constants] as const;
        if (kahan) kahanAdamw(part as Required<AdamWState>, ...rest);
        else adamw(part, ...rest);
      });
    },
    { name: 'adamw', xla: true },
  );
  const dispose = (): void => {
    squares.dispose();
    apply.dispose();
  };
  return { squares, apply, dispose };
}

interface Group {
  names: readonly string[];
  parts: readonly AdamWState[];
  decays: readonly boolean[];
}

/* What is updated by one call. */
function groupsOf(
  states: ReadonlyMap<string, AdamWState>,
  decays: (name: string) => boolean,
  fused: boolean,
): Group[] {
  const all = [...states];
  return (fused ? [all] : all.map((one) => [one])).map((group) => ({
    names: group.map(([name]) => name),
    parts: group.map(([, state]) => state),
    decays: group.map(([name]) => decays(name)),
  }));
}

function gradientIn(gradients: Gradients, name: string): tf.Tensor {
  const gradient = gradients.get(name);
  if (gradient !== undefined) return gradient;
  throw new BackendError(
    `There is no gradient of ${name} among the ${gradients.size} gradients. Differentiate by every parameter that is ` +
      'trained.',
  );
}

function assertBfloat16(parameters: ReadonlyMap<string, Variable>): void {
  const other = [...parameters].find(([, { dtype }]) => dtype !== 'bfloat16');
  if (other === undefined) return;
  throw new ConfigError(
    `kahan compensates the rounding of bfloat16 weights, but ${other[0]} is ${other[1].dtype}. Turn kahan off, or train ` +
      'the weights in bfloat16.',
  );
}

function stateOf(name: string, parameter: Variable, config: OptimiserConfig): AdamWState {
  const zeros = (part: (typeof PARTS)[number], dtype: 'float32' | 'bfloat16'): Variable => {
    const zero = tf.zeros([...parameter.shape]);
    const variable = Variable.fromTensor(zero, { dtype, name: `${STORED[part]}.${name}` });
    zero.dispose();
    return variable;
  };
  const { kahan = false, momentsDtype = 'float32' } = config;
  const moments = kahan ? 'bfloat16' : momentsDtype;
  return {
    parameter,
    mean: zeros('mean', moments),
    square: zeros('square', moments),
    ...(kahan && { compensation: zeros('compensation', 'bfloat16') }),
  };
}

function restore(states: ReadonlyMap<string, AdamWState>, file: string): void {
  const { tensors } = readSafetensorsHeader(file);
  const expected = [...states].flatMap(([name, state]) =>
    PARTS.flatMap((part) =>
      state[part] === undefined ? [] : [{ key: `${STORED[part]}.${name}`, kept: state[part] }],
    ),
  );
  const left = [...tensors.keys()].filter((key) => !expected.some((one) => one.key === key));
  const missing = expected.filter(({ key }) => !tensors.has(key)).map(({ key }) => key);
  if (left.length + missing.length > 0) {
    throw new CheckpointError(
      `${file} holds the moments of other parameters than those that are trained: ${missing.length} are missing ` +
        `(${missing[0] ?? 'none'}), ${left.length} are left over (${left[0] ?? 'none'}). Train what was trained before ` +
        '(freeze, lora and kahan), or start a new run.',
    );
  }
  for (const { key, kept } of expected) {
    const stored = tensors.get(key) as NonNullable<ReturnType<typeof tensors.get>>;
    using loaded = loadTensor(key, { ...stored, file, storedName: key });
    if (loaded.dtype !== kept.dtype || loaded.shape.join() !== kept.shape.join()) {
      throw new CheckpointError(
        `${file}: ${key} is ${loaded.dtype} [${loaded.shape.join(', ')}]; expected ${kept.dtype} ` +
          `[${kept.shape.join(', ')}]. The configuration has changed since; start a new run.`,
      );
    }
    tf.tidy(() => {
      kept.assign(loaded.read());
    });
  }
}
