import type { TapoConfig } from '../config/tapo.ts';
import { createQwen25VL, type Qwen25VL } from '../model/qwen25vl.ts';
import { loadForTraining, type TrainedModel } from '../train/trainedModel.ts';

/**
 * Opens the frozen reference of KL_ref: the model that the run began with. An adapter's base is there already; else the
 * weights are loaded once more.
 *
 * @throws CheckpointError if the model's folder is damaged
 */
export function openReference({
  config,
  folder,
  model,
}: {
  config: TapoConfig;
  folder: string;
  model: TrainedModel;
}): Pick<Qwen25VL, keyof Qwen25VL> {
  if (config.lora !== undefined) {
    const { network, trained } = model;
    const base = new Map([...network.parameters].filter(([name]) => !trained.has(name)));
    return createQwen25VL(network.config, base, { compute: network.text.context.compute });
  }
  const loaded = loadForTraining(folder, { ...config, freeze: [], lora: undefined });
  return { ...loaded.network, [Symbol.dispose]: () => loaded[Symbol.dispose]() };
}
