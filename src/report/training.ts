import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { loadConfigFile, settingsIn } from '../config/file.ts';
import { type TapoConfig, tapoSchema } from '../config/tapo.ts';
import { type MetricsRow, metricsRow, readJsonFile, readLines, type RunFacts, runFacts } from './files.ts';
import type { Part } from './find.ts';
import { readRollouts, type Rollouts } from './rollouts.ts';

/** A training, as its folder tells of it. */
export interface Training {
  name: string;
  folder: string;
  stage: 'sft' | 'tapo';
  facts: RunFacts;
  /** the text of `config.yaml` */
  config: string | undefined;
  /** limits of the alarms */
  limits: TapoConfig['alarms'] | undefined;
  metrics: MetricsRow[];
  /** undefined where no responses were drawn */
  rollouts: Rollouts | undefined;
  /** what is missing or torn */
  notes: string[];
}

/**
 * Reads the folder of a training.
 * @throws DataError that names file and line, if one is damaged
 * @throws ConfigError if its config cannot be read
 */
export async function readTraining({ name, folder }: Part): Promise<Training> {
  const notes: string[] = [];
  const file = (name: string): string => {
    const path = join(folder, name);
    if (!existsSync(path)) notes.push(`${name} is missing.`);
    return path;
  };
  const note = (name: string) => () => {
    notes.push(`The last row of ${name} was torn by a kill: it is left out.`);
  };
  const config = file('config.yaml');
  const facts = readJsonFile(file('run.json'), runFacts) ?? runFacts.parse({});
  const metrics: MetricsRow[] = [];
  for await (const row of readLines(file('metrics.jsonl'), metricsRow, note('metrics.jsonl'))) {
    metrics.push(row);
  }
  const rollouts = await readRollouts(join(folder, 'generations.jsonl'), {
    steps: metrics.at(-1)?.step ?? 0,
    classes: facts.classes,
    onTorn: note('generations.jsonl'),
  });
  const hasConfig = existsSync(config);
  const isTapo = hasConfig
    ? settingsIn(config, ['rollout']).length > 0
    : metrics.some((row) => 'groups/drawn' in row);
  return {
    name,
    folder,
    stage: isTapo ? 'tapo' : 'sft',
    facts,
    config: hasConfig ? readFileSync(config, 'utf8') : undefined,
    limits: hasConfig && isTapo ? loadConfigFile(config, alarmsOnly).alarms : undefined,
    metrics,
    rollouts,
    notes,
  };
}

/* The rest of the config may be of another version. */
const alarmsOnly = z.looseObject({ alarms: tapoSchema.shape.alarms });
