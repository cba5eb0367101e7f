import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, messageOf } from '../../common/errors.ts';
import { readJson } from '../../common/json.ts';
import { log } from '../../common/log.ts';
import { toYaml } from '../../config/file.ts';
import { orCannotWrite, replaceFile } from '../../model/safetensors.ts';
import { deleteLeftOvers, newestCheckpoint, type SavedCheckpoint } from './checkpoints.ts';
import { createEventFile, type EventFile } from './eventFile.ts';
import { type LinesFile, openLines } from './lines.ts';
import { describeProgram } from './provenance.ts';

/** The figures of a step; one that is not finite is `null` in `metrics.jsonl`. */
export type Metrics = Readonly<Record<string, number>> & {
  /** steps that are done with this one */
  readonly step: number;
};

/** A row of `generations.jsonl`. */
export interface GenerationRow {
  step: number;
  prompt: string;
  /** with the SHA-256 of what stands in each */
  images: readonly { path?: string; sha256: string }[];
  response: string;
  /** rewards, advantage and what else there is to say */
  [more: string]: unknown;
}

/** A run in its folder. */
export interface Run extends Disposable {
  folder: string;
  /** where it goes on; undefined at the beginning */
  resumedFrom: SavedCheckpoint | undefined;
  /** Appends to `metrics.jsonl` and TensorBoard's file, to survive a kill when it returns. */
  logStep(metrics: Metrics): void;
  /** Appends to `generations.jsonl`. */
  logGenerations(rows: readonly GenerationRow[]): void;
  /** Has the disk hold all that was logged: call it before a checkpoint is written. */
  sync(): void;
  /** Adds to `run.json`, in place of what stands under the same names. */
  note(facts: Readonly<Record<string, unknown>>): void;
  /** Writes to `run.json` when and how it ended, and why if it failed. */
  end(outcome: 'finished' | 'interrupted' | 'failed', reason?: string): void;
}

export interface RunOptions {
  /** whole, as `loadConfigFile` reads it */
  config: object;
  /** go on from the newest checkpoint */
  resume: boolean;
}

const [CONFIG, FACTS] = ['config.yaml', 'run.json'];
const LOGS = ['metrics.jsonl', 'generations.jsonl'];
const OWN = [CONFIG, FACTS, ...LOGS, 'checkpoints'];

/**
 * Opens the folder of a run, and writes into it what is going to run, before any work: `config.yaml`, `run.json`. A run
 * that ended before its first step is begun again. To
 * resume, what was logged after the newest checkpoint is cut off, and what a kill left of a later one is deleted.
 *
 * @throws ConfigError if there is a run already and it is not to be resumed, or there is none and it is
 * @throws CheckpointError if the folder cannot be written
 */
export function openRun(folder: string, { config, resume }: RunOptions): Run {
  assertRight(folder, resume);
  orCannotWrite(folder, () => mkdirSync(folder, { recursive: true }));
  deleteLeftOvers(folder);
  const resumedFrom = newestCheckpoint(folder);
  const done = resumedFrom?.step ?? 0;

  writeConfig(join(folder, CONFIG), toYaml(config));
  const now = (): string => new Date().toISOString();
  const session: Record<string, unknown> = { started: now(), fromStep: done, ...describeProgram() };
  const former = resume ? readFacts(join(folder, FACTS)) : {};
  const facts: Record<string, unknown> = {
    ...former,
    sessions: [...((former.sessions as unknown[] | undefined) ?? []), session],
  };
  const save = (): void => {
    writeText(join(folder, FACTS), `${JSON.stringify(facts, undefined, 2)}\n`);
  };
  save();

  const { metrics, generations, events } = openFiles(folder, done);
  return {
    folder,
    resumedFrom,
    logStep: (row) => {
      const { step, ...values } = row;
      metrics.append([row]);
      events.append(step, values);
    },
    logGenerations: (rows) => {
      generations.append(rows);
    },
    sync: () => {
      for (const file of [metrics, generations, events]) file.sync();
    },
    note: (more) => {
      Object.assign(facts, more);
      save();
    },
    end: (outcome, reason) => {
      Object.assign(session, { ended: now(), outcome, ...(reason !== undefined && { reason }) });
      save();
    },
    [Symbol.dispose]: () => {
      for (const file of [metrics, generations, events]) file[Symbol.dispose]();
    },
  };
}

function openFiles(
  folder: string,
  done: number,
): { metrics: LinesFile; generations: LinesFile; events: EventFile } {
  const opened: Disposable[] = [];
  const keep = <T extends Disposable>(file: T): T => {
    opened.push(file);
    return file;
  };
  try {
    return {
      metrics: keep(openLines(join(folder, 'metrics.jsonl'), done)),
      generations: keep(openLines(join(folder, 'generations.jsonl'), done)),
      events: keep(createEventFile(folder, done + 1)),
    };
  } catch (error) {
    for (const file of opened) file[Symbol.dispose]();
    throw error;
  }
}

/* Says where the config of a resumed run is not what it was. */
function writeConfig(file: string, text: string): void {
  if (existsSync(file)) {
    const [former, present] = [readFileSync(file, 'utf8'), text].map((one) => one.split('\n'));
    const only = (these: string[] = [], those: string[] = []): string =>
      these
        .filter((line) => !those.includes(line))
        .map((line) => line.trim())
        .join(', ') || 'nothing';
    if (former?.join('\n') !== text) {
      log.warn(
        `The run goes on with another config than before. New in ${file}: ${only(present, former)}; gone: ${only(former, present)}.`,
      );
    }
  }
  writeText(file, text);
}

function assertRight(folder: string, resume: boolean): void {
  const found = OWN.find((name) => existsSync(join(folder, name)));
  if (found !== undefined && !resume && hasBegun(folder)) {
    throw new ConfigError(
      `${folder} holds a run already (${found}). Go on with it by --resume, or give another folder as output.`,
    );
  }
  if (found === undefined && resume) {
    throw new ConfigError(
      `${folder} holds no run that could be resumed. Leave --resume out to begin one, or give the folder of one as output.`,
    );
  }
}

/* Whether beginning anew would lose more than the facts of a run of ours that took no step. */
function hasBegun(folder: string): boolean {
  const isLogged = LOGS.some(
    (name) => existsSync(join(folder, name)) && statSync(join(folder, name)).size > 0,
  );
  if (isLogged || newestCheckpoint(folder) !== undefined) return true;
  try {
    return !Array.isArray((readJson(join(folder, FACTS)) as { sessions?: unknown }).sessions);
  } catch {
    return true;
  }
}

function readFacts(file: string): Record<string, unknown> {
  if (!existsSync(file)) return {}; // Killed before it was written.
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError(
      `${file} cannot be read (${messageOf(error)}). Mend or delete it to resume the run.`,
    );
  }
}

function writeText(file: string, text: string): void {
  replaceFile(file, (write) => {
    write(Buffer.from(text));
  });
}
