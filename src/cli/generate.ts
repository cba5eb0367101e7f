import type { CommandModule } from 'yargs';
import type { LoadOptions } from '../config/load.ts';

interface GenerateArguments {
  model: string;
  image: string[];
  prompt: string;
  maxNewTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  repetitionPenalty: number;
  seed: number;
  dtype: NonNullable<LoadOptions['dtype']>;
  backend: NonNullable<LoadOptions['backend']>;
  adapter: string | undefined;
  pictures: NonNullable<LoadOptions['pictures']>;
  json: boolean;
}

/** `finer1 generate`: asks a model about pictures. */
export const generateCommand: CommandModule<object, GenerateArguments> = {
  command: 'generate',
  describe: 'Ask a model about pictures; the answer is printed as it comes',
  builder: {
    model: {
      type: 'string',
      demandOption: true,
      describe: "Folder in Hugging Face's layout, or a hub id (owner/name)",
    },
    image: { type: 'string', array: true, default: [], describe: 'Picture; may be given several times' },
    prompt: { type: 'string', demandOption: true, describe: 'What to ask' },
    'max-new-tokens': { type: 'number', default: 1024, describe: 'Tokens of the answer, at most' },
    temperature: { type: 'number', default: 0, describe: '0: always the likeliest token' },
    'top-k': { type: 'number', default: 0, describe: 'Draw from the k likeliest tokens; 0: from all' },
    'top-p': { type: 'number', default: 1, describe: 'Draw from the likeliest tokens of this probability' },
    'repetition-penalty': { type: 'number', default: 1, describe: 'Above 1: fewer repetitions' },
    seed: { type: 'number', default: 0, describe: 'The same seed gives the same answer' },
    dtype: {
      choices: ['auto', 'float32', 'bfloat16'] as const,
      default: 'auto' as const,
      describe: 'Type of the weights; auto: as stored',
    },
    backend: {
      choices: ['auto', 'tensorflow', 'wasm'] as const,
      default: 'auto' as const,
      describe: 'Backend',
    },
    adapter: { type: 'string', describe: 'Folder of a LoRA adapter' },
    pictures: {
      choices: ['released', 'own'] as const,
      default: 'own' as const,
      describe: 'own: turned by EXIF, alpha over white; released: as in the released trainings',
    },
    json: { type: 'boolean', default: false, describe: 'Print one JSON record at the end' },
  },
  handler: async (options) => {
    const { runGenerate } = await import('./runGenerate.ts');
    await runGenerate(options);
  },
};

export type { GenerateArguments };
