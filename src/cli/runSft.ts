import { sftSchema } from '../config/sft.ts';
import { trainSft } from '../sft/trainer.ts';
import { runStage } from './runStage.ts';
import type { SftArguments } from './sft.ts';

/** Trains as a config says; Ctrl-C ends it after the step under way, with a checkpoint. */
export const runSft = (options: SftArguments): Promise<void> => runStage('sft', options, sftSchema, trainSft);
