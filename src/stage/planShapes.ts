import { ConfigError } from '../common/errors.ts';
import { matchesTarget } from '../config/lora.ts';
import type { ModelConfig } from '../config/model.ts';
import type { SftConfig } from '../config/sft.ts';
import { readCheckpointIndex } from '../model/checkpoint.ts';
import { EMBEDDING, HEAD, toTransformersName } from '../model/names.ts';

/** A parameter as it is kept while it is trained. */
export interface PlannedTensor {
  elements: number;
  /** in memory, and in a checkpoint */
  bytes: number;
}

/** What a training keeps, from the headers of its weights alone; by released names. */
export interface PlannedShapes {
  model: ModelConfig;
  parameters: ReadonlyMap<string, PlannedTensor>;
  /** an adapter's factors; empty without one */
  adapter: ReadonlyMap<string, PlannedTensor>;
  /** those of the two that are trained */
  trained: ReadonlyMap<string, PlannedTensor>;
  dtype: 'float32' | 'bfloat16' | 'float16';
}

const STORED = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' } as const;
const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

/**
 * Reads the headers of a model's weights.
 * @param folder in Hugging Face's layout
 * @throws CheckpointError if a file is missing or damaged
 * @throws ConfigError if everything is frozen, or a pattern freezes nothing
 */
export function readShapes(
  folder: string,
  model: ModelConfig,
  { dtype, freeze, lora }: Pick<SftConfig, 'dtype' | 'freeze' | 'lora'>,
): PlannedShapes {
  const located = readCheckpointIndex(folder);
  // A stored head that is the embedding is not loaded.
  if (model.tieWordEmbeddings === true) located.delete(HEAD);
  const typeOf = (name: string): PlannedShapes['dtype'] =>
    dtype === 'auto' ? STORED[located.get(name)?.dtype ?? 'F32'] : dtype;
  const parameters = new Map<string, PlannedTensor>();
  const adapter = new Map<string, PlannedTensor>();
  for (const [name, { shape }] of located) {
    const elements = product(shape);
    parameters.set(name, { elements, bytes: elements * (typeOf(name) === 'float32' ? 4 : 2) });
    const module = name.replace(/\.weight$/, '');
    const isLinear = shape.length === 2 && name.endsWith('.weight') && name !== EMBEDDING;
    if (lora === undefined || !isLinear || !matchesTarget(lora, toTransformersName(module))) continue;
    const [out = 0, width = 0] = shape;
    for (const [factor, side] of [
      ['A', width],
      ['B', out],
    ] as const) {
      // prettier-ignore
      const factors = lora.r * side;
      adapter.set(`${module}.lora_${factor}.weight`, { elements: factors, bytes: 4 * factors });
    }
  }
  const trained = lora === undefined ? unfrozen(parameters, freeze) : adapter;
  return { model, parameters, adapter, trained, dtype: typeOf(EMBEDDING) };
}

function unfrozen(
  parameters: ReadonlyMap<string, PlannedTensor>,
  freeze: readonly string[],
): Map<string, PlannedTensor> {
  const names = [...parameters.keys()];
  const patterns = freeze.map((pattern) => new RegExp(pattern));
  const idle = patterns.find((pattern) => !names.some((name) => pattern.test(name)));
  if (idle !== undefined) throw new ConfigError(`freeze: ${idle.source} matches no weight. Take it out.`);
  const trained = [...parameters].filter(([name]) => !patterns.some((pattern) => pattern.test(name)));
  if (trained.length > 0) return new Map(trained);
  throw new ConfigError(`freeze: ${freeze.join(', ')} leaves nothing to train. Take a pattern out.`);
}

/** Elements of the tensors whose names match; of all by default. */
export const countElements = (tensors: ReadonlyMap<string, PlannedTensor>, name = /(?:)/): number =>
  [...tensors].reduce((sum, [key, { elements }]) => sum + (name.test(key) ? elements : 0), 0);

/** Bytes of all of the tensors. */
export const countBytes = (tensors: ReadonlyMap<string, PlannedTensor>): number =>
  [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
