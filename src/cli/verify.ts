import type { CommandModule } from 'yargs';

interface VerifyArguments {
  record: string;
  model: string | undefined;
  image: string | undefined;
}

/** `finer1 verify`: does classifications again, and says whether the same comes out. */
export const verifyCommand: CommandModule<object, VerifyArguments> = {
  command: 'verify <record>',
  describe: 'Check records of classify: hashes, prompt, and the same answer when it is asked again',
  builder: {
    record: {
      type: 'string',
      demandOption: true,
      describe: 'File of a record, or of one a line, as classify --json prints them',
    },
    model: { type: 'string', describe: 'Where the model is now, if not where it was' },
    image: { type: 'string', describe: 'Where the picture is now, if not where it was' },
  },
  handler: async (options) => {
    const { runVerify } = await import('./runVerify.ts');
    await runVerify(options);
  },
};

export type { VerifyArguments };
