import * as tf from '@tensorflow/tfjs';
import { CheckpointError } from '../common/errors.ts';
import { contentOf, loadTensor } from '../model/parameters.ts';
import { createFunctions } from '../model/functions.ts';
import { readSafetensorsHeader, writeSafetensors } from '../model/safetensors.ts';
import { adamw, type AdamWConstants, adamwScalars, type AdamWState, kahanAdamw } from '../ops/adamw.ts';
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
/* As transformers' Trainer goes by names: `norm1` and `ln_q` of the vision tower do decay. */
const UNDECAYED = /bias|layernorm|\.norm\./;

/**
 * Makes AdamW for parameters of a model.
 *
 * @param parameters those that are trained, by their released names
 * @param fused one function updates all (a small model); else one call each, so that one's temporaries live at a time
 */
export function createOptimiser(
  parameters: ReadonlyMap<string, Variable>,
  config: OptimiserConfig,
  fused: boolean,
): Optimiser {
  const { kahan = false, clipNorm, weightDecay } = config;
  const names = [...parameters.keys()];
  const states = new Map(
    [...parameters].map(([name, parameter]) => [name, stateOf(name, parameter, config)] as const),
  );
  const decays = (name: string): boolean => (config.decayNormsAndBiases ?? false) || !UNDECAYED.test(name);
  const { compiled, dispose } = createFunctions(fused);
  const xla = fused && !kahan;
  const constants: AdamWConstants = { betas: config.betas, epsilon: config.epsilon };

  const squares = compiled(
    'squares',
    (gradients: readonly tf.Tensor[]) => tf.addN(gradients.map((gradient) => gradient.square().sum())),
    { xla },
  );
  const apply = compiled(
    'adamw',
    (
      parts: readonly AdamWState[],
      gradients: readonly tf.Tensor[],
      scalars: tf.Tensor1D,
      decaying: readonly boolean[],
    ) => {
      parts.forEach((part, i) => {
        const rest = [gradients[i] as tf.Tensor, scalars, decaying[i] as boolean, constants] as const;
        if (kahan) kahanAdamw(part as Required<AdamWState>, ...rest);
        else adamw(part, ...rest);
      });
      return scalars.sum();
    },
    { xla },
  );
  const groups = fused ? [names] : names.map((name) => [name]);
  let steps = 0;

  const normOf = async (gradients: Gradients): Promise<number> => {
    const sums = groups.map((group) => squares(group.map((name) => gradients.get(name) as tf.Tensor)));
    const values = await Promise.all(sums.map((sum) => sum.data()));
    tf.dispose(sums);
    return Math.sqrt(values.reduce((total, [value = 0]) => total + value, 0));
  };

  return {
    get steps() {
      return steps;
    },
    update: async (gradients, learningRate) => {
      const norm = await normOf(gradients);
      if (!Number.isFinite(norm)) return { norm, applied: false };
      steps++;
      // As torch.nn.utils.clip_grad_norm_ does.
      const scale = Math.min(1, clipNorm / (norm + 1e-6));
      const scalars = adamwScalars(steps, { learningRate, weightDecay, scale }, constants);
      for (const group of groups) {
        const done = apply(
          group.map((name) => states.get(name) as AdamWState),
          group.map((name) => gradients.get(name) as tf.Tensor),
          scalars,
          group.map(decays),
        );
        done.dispose();
      }
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
