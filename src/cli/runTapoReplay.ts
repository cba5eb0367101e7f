import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../common/errors.ts';
import { loadConfigFile } from '../config/file.ts';
import { pickRuntime } from '../config/runtime.ts';
import { tapoSchema } from '../config/tapo.ts';
import { selectBackend } from '../runtime/select.ts';
import { replay } from '../tapo/replay.ts';
import type { ReplayArguments } from './tapoReplay.ts';

const SHOWN = 5;

/** Prints what a step gave, and what it gives now. */
export async function runTapoReplay({ run, step, set, json }: ReplayArguments): Promise<void> {
  const file = join(run, 'config.yaml');
  if (!existsSync(file)) throw new ConfigError(`There is no file ${file}: is ${run} the folder of a run?`);
  const config = loadConfigFile(file, tapoSchema, set);
  await selectBackend(pickRuntime(config));
  const changesReward = set.some((one) => one.startsWith('reward'));
  const result = await replay(run, step, config, changesReward);
  if (json) {
    console.log(JSON.stringify(result));
    return;
  }
  const number = (value: number | undefined): string =>
    (value === undefined ? '-' : value.toFixed(5)).padStart(12);
  const changes = set.length === 0 ? 'as it was' : set.join(', ');
  console.log(`Step ${step} of ${run}, ${result.responses} responses; now ${changes}\n`);
  console.log(`${''.padEnd(18)}${'recorded'.padStart(12)}${'now'.padStart(12)}${'difference'.padStart(12)}`);
  for (const { name, recorded, replayed } of result.terms) {
    const difference = recorded === undefined ? undefined : replayed - recorded;
    console.log(`${name.padEnd(18)}${number(recorded)}${number(replayed)}${number(difference)}`);
  }
  const moved = result.advantages
    .map((one) => ({ ...one, by: Math.abs(one.replayed - one.recorded) }))
    .filter(({ by }) => by > 1e-6)
    .sort((a, b) => b.by - a.by);
  console.log(`\n${moved.length} advantages differ${moved.length === 0 ? '.' : ', most of all:'}`);
  for (const { group, label, response, recorded, replayed } of moved.slice(0, SHOWN)) {
    const text = response.replaceAll(/\s+/g, ' ').slice(-70);
    console.log(`  group ${group} (${label}): ${recorded.toFixed(3)} -> ${replayed.toFixed(3)}  ...${text}`);
  }
}
