import type { CommandModule } from 'yargs';

interface PlanArguments {
  config: string;
  set: string[];
  json: boolean;
}

/** `finer1 plan`: what a training will take, before any weight is loaded. */
export const planCommand: CommandModule<object, PlanArguments> = {
  command: 'plan',
  describe: 'Foretell steps, memory, time and disk of a training; the exit status is 1 where it will not fit',
  builder: {
    config: {
      type: 'string',
      demandOption: true,
      describe: 'YAML file that finer1 sft or finer1 tapo takes',
    },
    set: { type: 'string', array: true, default: [], describe: "path.to.key=value: wins over the file's" },
    json: { type: 'boolean', default: false, describe: 'Print one JSON record' },
  },
  handler: async (options) => {
    const { runPlan } = await import('./runPlan.ts');
    await runPlan(options);
  },
};

export type { PlanArguments };
