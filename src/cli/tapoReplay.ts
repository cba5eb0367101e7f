import type { CommandModule } from 'yargs';

export interface ReplayArguments {
  run: string;
  step: number;
  set: string[];
  json: boolean;
}

/** `finer1 tapo replay`: a step's groups, advantages and loss once more, as they were or under another objective. */
export const tapoReplayCommand: CommandModule<object, ReplayArguments> = {
  command: 'replay',
  describe: 'Compute the groups, advantages and loss of a step of a run again, also under another variant',
  builder: {
    run: { type: 'string', demandOption: true, describe: 'Folder of the run' },
    step: { type: 'number', demandOption: true, describe: 'Which step, from 1' },
    set: {
      type: 'string',
      array: true,
      default: [],
      describe: "path.to.key=value: wins over the run's config; may be given several times",
    },
    json: { type: 'boolean', default: false, describe: 'Print JSON, every response with its advantages' },
  },
  handler: async (options) => {
    const { runTapoReplay } = await import('./runTapoReplay.ts');
    await runTapoReplay(options);
  },
};
