import { constants } from 'node:os';
import { log } from '../common/log.ts';
import { loadConfigFile } from '../config/file.ts';
import { sftSchema } from '../config/sft.ts';
import { trainSft } from '../sft/trainer.ts';
import { abortOnSignal } from './interrupt.ts';
import type { SftArguments } from './sft.ts';

/** Trains as a config says; Ctrl-C ends it after the step under way, with a checkpoint. */
export async function runSft({ config: file, set, resume }: SftArguments): Promise<void> {
  const config = loadConfigFile(file, sftSchema, set);
  const { checkpoint, finished } = await abortOnSignal((signal) => trainSft(config, { resume, signal }));
  if (finished) {
    log.info(`The model is in ${checkpoint}.`);
    return;
  }
  const settings = set.map((one) => ` --set ${one}`).join('');
  log.warn(`Stopped; saved as ${checkpoint}. Go on with: finer1 sft --config ${file}${settings} --resume`);
  process.exitCode = 128 + constants.signals.SIGINT;
}
