import type { CommandModule } from 'yargs';
import { dataCheckCommand } from './dataCheck.ts';
import { dataPrepareCommand } from './dataPrepare.ts';
import { dataSyntheticCommand } from './dataSynthetic.ts';

/** `finer1 data`: what there is to train and test on. */
export const dataCommand: CommandModule = {
  command: 'data',
  describe: 'Check or make data',
  builder: (parser) =>
    parser
      .command(dataCheckCommand)
      .command(dataPrepareCommand)
      .command(dataSyntheticCommand)
      .demandCommand(1, 'Name a command of data.'),
  handler: () => undefined,
};
