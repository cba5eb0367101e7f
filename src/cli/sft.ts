import type { CommandModule } from 'yargs';

interface SftArguments {
  config: string;
  set: string[];
  resume: boolean;
}

/** `finer1 sft`: chain-of-thought fine-tuning. */
export const sftCommand: CommandModule<object, SftArguments> = {
  command: 'sft',
  describe: 'Teach a model to reason as given rows do (chain-of-thought fine-tuning, stage 1)',
  builder: {
    config: { type: 'string', demandOption: true, describe: 'YAML file, such as configs/tiny-sft.yaml' },
    set: {
      type: 'string',
      array: true,
      default: [],
      describe: 'path.to.key=value: wins over the file; may be given several times',
    },
    resume: { type: 'boolean', default: false, describe: 'Go on from the newest checkpoint of the run' },
  },
  handler: async (options) => {
    const { runSft } = await import('./runSft.ts');
    await runSft(options);
  },
};

export type { SftArguments };
