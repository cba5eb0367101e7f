import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { path } from '../../scripts/pipeline.ts';
import { ConfigError } from '../../src/common/errors.ts';
import { loadConfigFile, settingsIn } from '../../src/config/file.ts';
import { type SftConfig, sftSchema } from '../../src/config/sft.ts';
import { type TapoConfig, tapoSchema } from '../../src/config/tapo.ts';
import { newestCheckpoint } from '../../src/train/run/checkpoints.ts';

/** A row of a table of the paper, as `rows.ts` in an experiment's folder lists it. */
export interface PaperRow {
  name: string;
  /** a model that is tested as it is: a folder or hub id */
  model?: string;
  /** or configs in the folder, of which the last one's model is tested; each is trained once for all rows */
  trainings?: readonly string[];
}

/** A command of finer1. */
export interface Step {
  command: readonly string[];
  /** `run.json` of the training that it is; it goes on if that is there */
  run?: string;
  isDone: () => boolean;
}

const RECORD = 'rows.ts';
/* Where the README has the test files, and what their paths of pictures begin at. */
const [TESTS, PICTURES] = ['data/fine-r1/eval', 'data/fine-r1'];
const SIGLIP = 'google/siglip-base-patch16-256';
const PROTOCOLS = { closed: [], open: ['--open-world', '--siglip', SIGLIP] } as const;

/**
 * The rows of an experiment.
 *
 * @param only the name of one of them, or all
 * @throws ConfigError if there is no such experiment or row
 */
export async function openRows(
  name: string | undefined,
  only?: string,
): Promise<{ folder: string; rows: readonly PaperRow[] }> {
  const root = path('experiments');
  const names = readdirSync(root).filter((one) => existsSync(join(root, one, RECORD)));
  if (name === undefined || !names.includes(name)) {
    throw new ConfigError(`${name ?? 'Nothing'} is named; give a table of the paper: ${names.join(', ')}.`);
  }
  const folder = join(root, name);
  const { rows } = (await import(join(folder, RECORD))) as { rows: readonly PaperRow[] };
  const chosen = rows.filter((row) => only === undefined || row.name === only);
  if (chosen.length > 0) return { folder, rows: chosen };
  throw new ConfigError(
    `${name} has no row ${only ?? ''}; it has ${rows.map((row) => row.name).join(', ')}.`,
  );
}

/**
 * The config of a training, and its stage.
 * @throws ConfigError that says what is wrong in it
 */
export function readTraining(file: string): { stage: 'sft' | 'tapo'; config: SftConfig | TapoConfig } {
  return settingsIn(file, ['variant']).length > 0
    ? { stage: 'tapo', config: loadConfigFile(file, tapoSchema) }
    : { stage: 'sft', config: loadConfigFile(file, sftSchema) };
}

const shown = (file: string): string => relative(path('.'), file);

/** The commands that make a row: its trainings, then its tests in both worlds. */
export function stepsOf(folder: string, { name, model, trainings = [] }: PaperRow): Step[] {
  const steps = trainings.map((one): Step => {
    const file = join(folder, one);
    const { stage, config } = readTraining(file);
    const run = join(config.output, 'run.json');
    return { command: [stage, '--config', shown(file)], run, isDone: () => isFinished(run) };
  });
  const last = trainings.at(-1);
  const tested = (): string =>
    model ?? shown(newestOf(readTraining(join(folder, last as string)).config.output));
  const tests = Object.entries(PROTOCOLS).map(([world, options]): Step => {
    const out = path(`runs/${basename(folder)}/${name}-${world}`);
    const data = ['--data', TESTS, '--images', PICTURES];
    return {
      // A getter: which checkpoint is the last one shows when the training is over.
      get command() {
        return ['eval', '--model', tested(), ...data, ...options, '--out', shown(out)];
      },
      isDone: () => existsSync(join(out, 'results.json')),
    };
  });
  return [...steps, ...tests];
}

/* While there is none, what stands for it in a list of commands. */
const newestOf = (run: string): string => newestCheckpoint(run)?.folder ?? join(run, 'checkpoints/step-N');

function isFinished(run: string): boolean {
  if (!existsSync(run)) return false;
  const { sessions } = JSON.parse(readFileSync(run, 'utf8')) as { sessions?: { outcome?: string }[] };
  return sessions?.at(-1)?.outcome === 'finished';
}

/** What the rows read and nothing makes: files of data that are not there. */
export function missingInputs(folder: string, rows: readonly PaperRow[]): string[] {
  const trainings = rows.flatMap((row) => row.trainings ?? []);
  const data = trainings.flatMap((one) => readTraining(join(folder, one)).config.data.train);
  return [...new Set([...data, path(TESTS)])].filter((file) => !existsSync(file)).map(shown);
}
