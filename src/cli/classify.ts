import type { CommandModule } from 'yargs';

interface ClassifyArguments {
  model: string;
  image: string;
  candidates: string | undefined;
  open: boolean;
  question: string | undefined;
  instruction: string | undefined;
  minProbability: number;
  maxNewTokens: number;
  json: boolean;
}

/** `finer1 classify`: names what pictures show, by one of the given candidates. */
export const classifyCommand: CommandModule<object, ClassifyArguments> = {
  command: 'classify',
  describe: 'Name what pictures show: exactly one of the given candidates, or a refusal',
  builder: {
    model: {
      type: 'string',
      demandOption: true,
      describe: "Folder in Hugging Face's layout, or a hub id (owner/name)",
    },
    image: {
      type: 'string',
      demandOption: true,
      // Or `-` would be taken for an argument of its own.
      nargs: 1,
      describe: 'Picture, folder of pictures, or - for the content of a picture on stdin',
    },
    candidates: { type: 'string', describe: 'a,b,c, or a file with one candidate a line' },
    open: { type: 'boolean', default: false, describe: "Instead of candidates: the model's own answer" },
    question: {
      type: 'string',
      describe: 'What to ask; best names the domain: "What kind of bird is this?"',
    },
    instruction: {
      type: 'string',
      describe: "Follows the question; default: that of the released stage 2; '': nothing",
    },
    'min-probability': { type: 'number', default: 0, describe: 'Refuse what is less probable' },
    'max-new-tokens': { type: 'number', default: 2048, describe: 'Tokens of the reasoning, at most' },
    json: { type: 'boolean', default: false, describe: 'Print a JSON record a picture, one a line' },
  },
  handler: async (options) => {
    const { runClassify } = await import('./runClassify.ts');
    await runClassify(options);
  },
};

export type { ClassifyArguments };
