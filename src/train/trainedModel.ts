import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError, ConfigError } from '../common/errors.ts';
import type { LoraConfig } from '../config/lora.ts';
import { parseModelConfig } from '../config/model.ts';
import { readJson } from '../common/json.ts';
import { loadParameters, saveParameters } from '../model/checkpoint.ts';
import { type Adapter, createAdapter, loadAdapter, saveAdapter, scalingOf } from '../model/lora.ts';
import { copyModelFiles } from '../model/modelFolder.ts';
import { contentOf } from '../model/parameters.ts';
import { createQwen25VL, type Qwen25VL } from '../model/qwen25vl.ts';
import type { Variable } from '../runtime/variable.ts';

/** What of a model is trained. */
export interface TrainedModelOptions {
  dtype: 'auto' | 'float32' | 'bfloat16';
  /** patterns of the released names of weights that stay as they are */
  freeze: readonly string[];
  /** an adapter is trained instead of the weights */
  lora?: LoraConfig | undefined;
  seed: number;
  /** of a checkpoint to go on from: of the whole model, or of the adapter */
  resumeFrom?: string | undefined;
}

/** A model that is being trained. */
export interface TrainedModel extends Disposable {
  network: Qwen25VL;
  /** what is trained, by released names */
  trained: ReadonlyMap<string, Variable>;
  /** Writes a model's folder, or an adapter's, that transformers or peft loads. */
  save(folder: string): void;
}

/**
 * Loads a model to train it.
 *
 * @param folder in Hugging Face's layout
 * @throws CheckpointError if a file is missing, damaged or does not fit the others
 * @throws ConfigError if everything is frozen, or a pattern freezes nothing
 */
export function loadForTraining(folder: string, options: TrainedModelOptions): TrainedModel {
  const { dtype, lora, seed, resumeFrom } = options;
  if (!existsSync(folder)) throw new CheckpointError(`There is no model folder ${folder}.`);
  const weights = lora === undefined ? (resumeFrom ?? folder) : folder;
  const file = join(folder, 'config.json');
  const config = parseModelConfig(readJson(file), file);
  const parameters = loadParameters(weights, config, { dtype: dtype === 'auto' ? undefined : dtype });
  const adapter: Adapter | undefined =
    lora === undefined
      ? undefined
      : resumeFrom === undefined
        ? createAdapter(lora, parameters, seed)
        : loadAdapter(resumeFrom, parameters);
  const isBfloat16 = parameters.get('model.embed_tokens.weight')?.dtype === 'bfloat16';
  const all = new Map([...parameters, ...(adapter?.parameters ?? [])]);
  const network = createQwen25VL(config, all, {
    compute: isBfloat16 ? 'bfloat16' : 'float32',
    ...(adapter && { loraScaling: scalingOf(adapter.config) }),
  });
  return {
    network,
    trained: adapter?.parameters ?? unfrozen(parameters, options.freeze),
    save: (to) => {
      if (adapter !== undefined) {
        saveAdapter(to, adapter);
        return;
      }
      copyModelFiles(folder, to);
      saveParameters(to, new Map([...parameters].map(([name, variable]) => [name, contentOf(variable)])));
    },
    [Symbol.dispose]: () => {
      network[Symbol.dispose]();
      for (const variable of all.values()) variable.dispose();
    },
  };
}

function unfrozen(
  parameters: ReadonlyMap<string, Variable>,
  freeze: readonly string[],
): Map<string, Variable> {
  const frozen = new Set<string>();
  for (const pattern of freeze) {
    const names = [...parameters.keys()].filter((name) => new RegExp(pattern).test(name));
    if (names.length === 0) {
      throw new ConfigError(
        `freeze: ${pattern} matches no weight. Names are as released, such as visual.merger.mlp.0.bias or ` +
          'model.layers.0.mlp.up_proj.weight.',
      );
    }
    for (const name of names) frozen.add(name);
  }
  const trained = new Map([...parameters].filter(([name]) => !frozen.has(name)));
  if (trained.size > 0) return trained;
  throw new ConfigError(`freeze: ${freeze.join(', ')} leaves nothing to train. Take a pattern out.`);
}
