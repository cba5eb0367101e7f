import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { path } from '../../scripts/pipeline.ts';
import { ConfigError } from '../../src/common/errors.ts';

/** What `experiment.ts` in an experiment's folder says: which models are made of each seed, and which are compared. */
export interface Experiment {
  /**
   * In the order of the table: `base` and `sft` are what stage 2 begins from, any other is a config of stage 2, `NAME.yaml` in the
   * folder. Stage 1 is by `sft.yaml` there, or else by `configs/tiny-sft.yaml`.
   */
  models: readonly string[];
  /** pairs of models: how much more the second has right than the first */
  compared: readonly (readonly [before: string, after: string])[];
}

/** An experiment with its place. */
export interface OpenExperiment extends Experiment {
  name: string;
  folder: string;
}

const RECORD = 'experiment.ts';

/**
 * Opens an experiment by the name of its folder.
 * @throws ConfigError if there is none of that name that runs here
 */
export async function openExperiment(name: string | undefined): Promise<OpenExperiment> {
  const root = path('experiments');
  const names = readdirSync(root).filter((one) => existsSync(join(root, one, RECORD)));
  if (name === undefined || !names.includes(name)) {
    throw new ConfigError(
      `${name === undefined ? 'No experiment is named' : `There is no experiment ${name} that this command runs`}; ` +
        `give one of ${names.join(', ')}: npm run experiment -- ${names[0] ?? 'NAME'} --seeds 3`,
    );
  }
  const folder = join(root, name);
  const { experiment } = (await import(join(folder, RECORD))) as { experiment: Experiment };
  return { ...experiment, name, folder };
}
