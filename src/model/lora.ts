import * as tf from '@tensorflow/tfjs';
import { CheckpointError } from '../common/errors.ts';
import { type LoraConfig, matchesTarget } from '../config/lora.ts';
import { uniform } from '../runtime/random.ts';
import { Variable } from '../runtime/variable.ts';
import { type LoraFactors, readAdapter, writeAdapter } from './loraFiles.ts';
import { toTransformersName } from './names.ts';
import { contentOf, loadTensor, type Parameters } from './parameters.ts';

/** An adapter: its factors are variables named `MODULE.lora_A.weight` and `MODULE.lora_B.weight`. */
export interface Adapter {
  config: LoraConfig;
  parameters: Map<string, Variable>;
}

/** alpha / r */
export const scalingOf = ({ alpha, r }: LoraConfig): number => alpha / r;

const A = '.lora_A.weight';
const B = '.lora_B.weight';

/**
 * Loads an adapter in peft's layout.
 * @param base parameters of the model that it is for
 * @throws CheckpointError if a file is damaged, or a factor does not fit the model
 */
export function loadAdapter(folder: string, base: Parameters): Adapter {
  const { config, tensors } = readAdapter(folder);
  for (const [module, { a, b }] of tensors) {
    const shape = base.get(`${module}.weight`)?.shape;
    if (shape?.[0] === b.shape[0] && shape?.[1] === a.shape[1] && shape?.length === 2) continue;
    throw new CheckpointError(
      `${a.file} has factors for ${module} [${b.shape[0]}, ${a.shape[1]}]; the model's weight there is ` +
        `${shape === undefined ? 'missing' : `[${shape.join(', ')}]`}. Is it the adapter of another model?`,
    );
  }
  const parameters = new Map<string, Variable>();
  for (const [module, { a, b }] of tensors) {
    parameters.set(module + A, loadTensor(module + A, a, 'float32'));
    parameters.set(module + B, loadTensor(module + B, b, 'float32'));
  }
  return { config, parameters };
}

/**
 * Makes a new adapter as peft begins one: A uniform within 1 / sqrt(in), B zero, so that the model is unchanged.
 * @param seed of A
 * @throws CheckpointError if no linear layer of the model is a target
 */
export function createAdapter(config: LoraConfig, base: Parameters, seed: number): Adapter {
  const parameters = new Map<string, Variable>();
  let index = 0;
  for (const [name, { shape }] of base) {
    const module = name.replace(/\.weight$/, '');
    const [out = 0, width = 0] = shape;
    const isLinear = name.endsWith('.weight') && shape.length === 2 && !name.endsWith('embed_tokens.weight');
    if (!isLinear || !matchesTarget(config, toTransformersName(module))) continue;
    const bound = 1 / Math.sqrt(width);
    tf.tidy(() => {
      const a = uniform([seed | 0, index++], [config.r, width])
        .mul(2 * bound)
        .sub(bound);
      parameters.set(module + A, Variable.fromTensor(a, { name: module + A }));
      parameters.set(module + B, Variable.fromTensor(tf.zeros([out, config.r]), { name: module + B }));
    });
  }
  if (parameters.size > 0) return { config, parameters };
  throw new CheckpointError(
    `No linear layer of the model is named by the adapter's targets ${JSON.stringify(config.targetModules)}. ` +
      'Name modules such as q_proj, v_proj, gate_proj.',
  );
}

/** Saves an adapter in peft's layout. */
export function saveAdapter(folder: string, { config, parameters }: Adapter): void {
  const factors = new Map<string, LoraFactors<ReturnType<typeof contentOf>>>();
  for (const [name, a] of parameters) {
    if (!name.endsWith(A)) continue;
    const module = name.slice(0, -A.length);
    factors.set(module, { a: contentOf(a), b: contentOf(parameters.get(module + B) as Variable) });
  }
  writeAdapter(folder, config, factors);
}

/** Adds an adapter's product to the weights, `W + alpha / r B A`, for good. */
export function mergeAdapter({ config, parameters }: Adapter, base: Parameters): void {
  for (const [name, a] of parameters) {
    if (!name.endsWith(A)) continue;
    const module = name.slice(0, -A.length);
    const weight = base.get(`${module}.weight`) as Variable;
    tf.tidy(() => {
      const b = (parameters.get(module + B) as Variable).read();
      weight.assign(
        weight.read().add(tf.matMul(b as tf.Tensor2D, a.read() as tf.Tensor2D).mul(scalingOf(config))),
      );
    });
  }
}
