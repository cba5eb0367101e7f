import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { drawBirds, examine, fineTune, path, reinforce, type Trained } from '../../scripts/pipeline.ts';
import type { OpenExperiment } from './open.ts';
import { digitsOf, type SeedResult } from './results.ts';

/**
 * Makes and tests the models of a seed that its results do not have, one after the other. What was broken off in the
 * middle of a training goes on from its last checkpoint.
 *
 * @param result of the seed; it is filled
 * @param save is called after each model
 */
export async function runSeed(
  { name: experiment, folder: configs, models }: OpenExperiment,
  result: SeedResult,
  save: () => void,
): Promise<void> {
  const missing = models.filter((model) => !Object.hasOwn(result.rightness, model));
  if (missing.length === 0) return;
  const { seed } = result;
  const folder = path(`runs/experiment-${experiment}/seed-${seed}`);
  mkdirSync(folder, { recursive: true });
  // A kill may have left some of them; the same seed draws the same again.
  rmSync(join(folder, 'birds'), { recursive: true, force: true });
  const birds = await drawBirds(folder, seed);

  const test = async (model: string, { checkpoint, seconds }: Trained): Promise<void> => {
    result.rightness[model] = digitsOf(await examine(checkpoint, birds));
    if (seconds !== undefined) result.seconds[model] = seconds;
    save();
  };
  if (missing.includes('base'))
    await test('base', { checkpoint: path('models/tiny-base'), seconds: undefined });
  if (missing.every((model) => model === 'base')) return;
  const own = join(configs, 'sft.yaml');
  const sft = await fineTune(folder, birds, seed, existsSync(own) ? own : undefined);
  if (missing.includes('sft')) await test('sft', sft);
  for (const name of missing.filter((model) => model !== 'base' && model !== 'sft')) {
    const config = join(configs, `${name}.yaml`);
    await test(name, await reinforce(folder, birds, { seed, model: sft.checkpoint, name, config }));
  }
}
