import type { CommandModule } from 'yargs';

interface DataCheckArguments {
  paths: string[];
  config: string | undefined;
  set: string[];
  model: string | undefined;
  unseen: string | undefined;
  cutoff: number | undefined;
  imageRoot: string | undefined;
  json: boolean;
}

/** `finer1 data check`: looks for what would make a training or a test wrong. */
export const dataCheckCommand: CommandModule<object, DataCheckArguments> = {
  command: 'check [paths..]',
  describe: 'Check rows, pictures and splits of data; the exit status is 1 where a training would be wrong',
  builder: {
    paths: {
      type: 'string',
      array: true,
      default: [],
      describe: 'Files or folders; what is for training and for tests is checked together',
    },
    config: { type: 'string', describe: 'Check the data of a config instead, as that training would use it' },
    set: { type: 'string', array: true, default: [], describe: "path.to.key=value: wins over the config's" },
    model: {
      type: 'string',
      conflicts: 'config',
      describe: "Folder of a model: text is counted with its tokenizer, in its pictures' sizes",
    },
    unseen: {
      type: 'string',
      describe:
        'Names that no training text should have: a text file, one a line, or .jsonl of test questions',
    },
    cutoff: {
      type: 'number',
      conflicts: 'config',
      describe: 'Tokens that a row may have, with its pictures (4096)',
    },
    'image-root': {
      type: 'string',
      conflicts: 'config',
      describe: "Where relative paths of pictures begin, if not at the file's folder",
    },
    json: { type: 'boolean', default: false, describe: 'Print one JSON record' },
  },
  handler: async (options) => {
    const { runDataCheck } = await import('./runDataCheck.ts');
    await runDataCheck(options);
  },
};

export type { DataCheckArguments };
