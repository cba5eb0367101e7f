import type { CommandModule } from 'yargs';
import type { SftArguments } from './sft.ts';

/** `finer1 tapo`: triplet augmented policy optimisation. */
export const tapoCommand: CommandModule<object, SftArguments> = {
  command: 'tapo',
  describe: 'Reinforce right names on triplets of pictures (triplet augmented policy optimisation, stage 2)',
  builder: {
    config: { type: 'string', demandOption: true, describe: 'YAML file, such as configs/tiny-tapo.yaml' },
    set: {
      type: 'string',
      array: true,
      default: [],
      describe: 'path.to.key=value: wins over the file; may be given several times',
    },
    resume: { type: 'boolean', default: false, describe: 'Go on from the newest checkpoint of the run' },
  },
  handler: async (options) => {
    const { runTapo } = await import('./runTapo.ts');
    await runTapo(options);
  },
};
