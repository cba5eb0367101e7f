import { constants } from 'node:os';
import type { z } from 'zod';
import { log } from '../common/log.ts';
import { loadConfigFile } from '../config/file.ts';
import type { TrainOptions, TrainResult } from '../stage/loop.ts';
import { abortOnSignal } from './interrupt.ts';
import type { SftArguments } from './sft.ts';

/** Runs a stage of training as a config says; where Ctrl-C ended it, says how to go on. */
export async function runStage<S extends z.ZodObject>(
  command: string,
  { config: file, set, resume }: SftArguments,
  schema: S,
  train: (config: z.output<S>, options: TrainOptions) => Promise<TrainResult>,
): Promise<void> {
  const config = loadConfigFile(file, schema, set);
  const { checkpoint, finished } = await abortOnSignal((signal) => train(config, { resume, signal }));
  if (finished) {
    log.info(`The model is in ${checkpoint}.`);
    return;
  }
  const settings = set.map((one) => ` --set ${one}`).join('');
  log.warn(
    `Stopped; saved as ${checkpoint}. Go on with: finer1 ${command} --config ${file}${settings} --resume`,
  );
  process.exitCode = 128 + constants.signals.SIGINT;
}
