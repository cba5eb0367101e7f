import type { CommandModule } from 'yargs';
import type { SftArguments } from './sft.ts';
import { tapoReplayCommand } from './tapoReplay.ts';

/** `finer1 tapo`: triplet augmented policy optimisation. */
export const tapoCommand: CommandModule<object, SftArguments> = {
  command: 'tapo',
  describe: 'Reinforce right names on triplets of pictures (triplet augmented policy optimisation, stage 2)',
  builder: (parser) =>
    parser.command(tapoReplayCommand).options({
      config: {
        type: 'string',
        demandOption: true,
        global: false,
        describe: 'YAML file, such as configs/tiny-tapo.yaml',
      },
      set: {
        type: 'string',
        array: true,
        default: [],
        global: false,
        describe: 'path.to.key=value: wins over the file; may be given several times',
      },
      resume: {
        type: 'boolean',
        default: false,
        global: false,
        describe: 'Go on from the newest checkpoint of the run',
      },
    }),
  handler: async (options) => {
    const { runTapo } = await import('./runTapo.ts');
    await runTapo(options);
  },
};
