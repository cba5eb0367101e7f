import type { CommandModule } from 'yargs';
import { DEFAULT_OPTIONS } from '../data/prepare/plan.ts';

interface DataPrepareArguments {
  path: string;
  out: string;
  model: string;
  shots: number;
  question: string;
  options: number;
  seed: number;
}

/** `finer1 data prepare`: from pictures in a folder per class to rows for stage 2 and for tests. */
export const dataPrepareCommand: CommandModule<object, DataPrepareArguments> = {
  command: 'prepare <path>',
  describe: 'Make triplets and test questions of a folder per class, or of one of the six official sets',
  builder: (parser) =>
    parser
      .positional('path', { type: 'string', demandOption: true, describe: 'Folder of pictures' })
      .options({
        out: { type: 'string', demandOption: true, describe: 'Folder to fill, empty or new' },
        model: {
          type: 'string',
          demandOption: true,
          describe: 'Model whose vision tower says what looks alike: a folder, or a hub id (owner/name)',
        },
        shots: {
          type: 'number',
          default: DEFAULT_OPTIONS.shots,
          describe: 'Training pictures of each seen class',
        },
        question: {
          type: 'string',
          default: DEFAULT_OPTIONS.question,
          describe: 'What is asked; best names the domain: "What kind of bird is this?"',
        },
        options: {
          type: 'number',
          default: DEFAULT_OPTIONS.options,
          describe: 'Names to choose from: the right one, and those that look most like it',
        },
        seed: {
          type: 'number',
          default: DEFAULT_OPTIONS.seed,
          describe: 'Another seed draws other pictures',
        },
      }),
  handler: async (options) => {
    const { runDataPrepare } = await import('./runDataPrepare.ts');
    await runDataPrepare(options);
  },
};

export type { DataPrepareArguments };
