import type { CommandModule } from 'yargs';
import { DIFFICULTIES, type Difficulty } from '../data/synthetic/birds.ts';
import { DEFAULT_OPTIONS } from '../data/synthetic/plan.ts';

interface DataSyntheticArguments {
  out: string;
  seed: number;
  difficulty: Difficulty;
  size: number;
  confusion: number;
  testPictures: number;
}

/** `finer1 data synthetic`: draws a small set to try everything on. */
export const dataSyntheticCommand: CommandModule<object, DataSyntheticArguments> = {
  command: 'synthetic',
  describe: 'Draw a set of birds for both training stages and for tests; the same seed gives the same files',
  builder: {
    out: { type: 'string', demandOption: true, describe: 'Folder to fill, empty or new' },
    seed: { type: 'number', default: DEFAULT_OPTIONS.seed, describe: 'Another seed gives another set' },
    difficulty: {
      choices: DIFFICULTIES,
      default: DEFAULT_OPTIONS.difficulty,
      describe: '32, 96 or 192 kinds of birds, and pictures of one kind that differ less or more',
    },
    size: { type: 'number', default: DEFAULT_OPTIONS.size, describe: 'Pixels on a side of a picture' },
    confusion: {
      type: 'number',
      default: DEFAULT_OPTIONS.confusion,
      describe: 'How likely the rationales take an orange cap for red, and a forked tail for long',
    },
    'test-pictures': {
      type: 'number',
      default: DEFAULT_OPTIONS.testPictures,
      describe: 'Test pictures of seen kinds, and as many of unseen ones',
    },
  },
  handler: async (options) => {
    const { runDataSynthetic } = await import('./runDataSynthetic.ts');
    await runDataSynthetic(options);
  },
};

export type { DataSyntheticArguments };
