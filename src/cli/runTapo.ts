import { tapoSchema } from '../config/tapo.ts';
import { trainTapo } from '../tapo/trainer.ts';
import { runStage } from './runStage.ts';
import type { SftArguments } from './sft.ts';

/** Trains as a config says; Ctrl-C ends it within the step, with a checkpoint. */
export const runTapo = (options: SftArguments): Promise<void> =>
  runStage('tapo', options, tapoSchema, trainTapo);
