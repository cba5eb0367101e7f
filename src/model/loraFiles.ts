import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '../common/errors.ts';
import { type LoraConfig, matchesTarget, parseLoraConfig, toAdapterJson } from '../config/lora.ts';
import { readJson } from '../common/json.ts';
import { toReleasedName, toTransformersName } from './names.ts';
import type { LocatedTensor } from './parameters.ts';
import {
  orCannotWrite,
  readSafetensorsHeader,
  replaceFile,
  type StoredTensor,
  type TensorContent,
  writeSafetensors,
} from './safetensors.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
/** What peft puts before the path of a module. */
const PREFIX = 'base_model.model.';

/** The two factors of a module: `x + scale * (x A^T) B^T` is added to its output `x W^T`. */
export interface LoraFactors<T> {
  /** `[r, in]` */
  a: T;
  /** `[out, r]` */
  b: T;
}

/** An adapter on disk. */
export interface LocatedAdapter {
  config: LoraConfig;
  /** by the released names of the modules, e.g. `model.layers.0.self_attn.q_proj` */
  tensors: Map<string, LoraFactors<LocatedTensor>>;
}

/**
 * Reads an adapter's configuration, and where its factors are, in the layout of peft; modules may be named as
 * transformers 5 or as the released checkpoints do.
 *
 * @throws CheckpointError if a file is missing or damaged, a factor is missing, left over or mis-shaped, or the
 *   adapter computes something that is not supported
 */
export function readAdapter(folder: string): LocatedAdapter {
  const config = parseLoraConfig(readJson(join(folder, CONFIG)), join(folder, CONFIG));
  const file = join(folder, WEIGHTS);
  if (!existsSync(file)) {
    throw new CheckpointError(
      `${folder} holds no ${WEIGHTS}. Save the adapter with peft as safetensors (a .bin file is not read).`,
    );
  }
  const found = new Map<string, Partial<LoraFactors<LocatedTensor>>>();
  for (const [storedName, tensor] of readSafetensorsHeader(file).tensors) {
    const { path, factor } = parseKey(file, storedName);
    if (!matchesTarget(config, path)) {
      throw new CheckpointError(
        `${file} holds ${storedName}, but target_modules in ${CONFIG}, ${JSON.stringify(config.targetModules)}, is not ` +
          `for ${path}. Give the configuration that belongs to the file.`,
      );
    }
    assertRank(file, storedName, tensor, factor, config.r);
    const name = toReleasedName(path);
    const factors = found.get(name) ?? {};
    if (factors[factor] !== undefined) {
      throw new CheckpointError(`${file}: ${factors[factor].storedName} and ${storedName} are one tensor.`);
    }
    found.set(name, { ...factors, [factor]: { ...tensor, file, storedName } });
  }
  if (found.size === 0) throw new CheckpointError(`${file} holds no tensors; expected those of an adapter.`);
  return {
    config,
    tensors: new Map([...found].map(([name, factors]) => [name, whole(file, name, factors)])),
  };
}

function parseKey(file: string, key: string): { path: string; factor: 'a' | 'b' } {
  const [, path, factor] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(key) ?? [];
  if (path === undefined) {
    throw new CheckpointError(
      `${file} holds ${key}; expected ${PREFIX}MODULE.lora_A.weight and ${PREFIX}MODULE.lora_B.weight only.`,
    );
  }
  return { path, factor: factor === 'A' ? 'a' : 'b' };
}

function assertRank(
  file: string,
  name: string,
  { shape }: StoredTensor,
  factor: 'a' | 'b',
  rank: number,
): void {
  if (shape.length === 2 && shape[factor === 'a' ? 0 : 1] === rank) return;
  throw new CheckpointError(
    `${file}: ${name} has shape [${shape.join(', ')}], expected ${factor === 'a' ? `[${rank}, in]` : `[out, ${rank}]`} ` +
      `for r = ${rank} of ${CONFIG}.`,
  );
}

function whole<T>(file: string, name: string, { a, b }: Partial<LoraFactors<T>>): LoraFactors<T> {
  if (a !== undefined && b !== undefined) return { a, b };
  throw new CheckpointError(
    `${file} holds no lora_${a === undefined ? 'A' : 'B'} for ${name}, only the other factor. Save it again.`,
  );
}

/**
 * Writes an adapter as peft does with transformers 5.
 *
 * @param tensors by the released names of the modules
 * @throws CheckpointError if a file cannot be written, or a module is none of the configuration's targets
 */
export function writeAdapter(
  folder: string,
  config: LoraConfig,
  tensors: ReadonlyMap<string, LoraFactors<TensorContent>>,
): void {
  const content = new Map<string, TensorContent>();
  for (const [name, { a, b }] of tensors) {
    const path = toTransformersName(name);
    if (!matchesTarget(config, path)) {
      throw new CheckpointError(
        `An adapter for ${JSON.stringify(config.targetModules)} has factors for ${path}, which peft would not find. ` +
          'Name the module among the targets.',
      );
    }
    content.set(`${PREFIX}${path}.lora_A.weight`, a);
    content.set(`${PREFIX}${path}.lora_B.weight`, b);
  }
  orCannotWrite(folder, () => mkdirSync(folder, { recursive: true }));
  writeSafetensors(join(folder, WEIGHTS), content);
  replaceFile(join(folder, CONFIG), (write) => {
    write(Buffer.from(`${JSON.stringify(toAdapterJson(config), undefined, 2)}\n`));
  });
}
