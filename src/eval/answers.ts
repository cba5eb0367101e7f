import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError, messageOf } from '../common/errors.ts';
import { orCannotWrite, replaceFile } from '../model/safetensors.ts';
import { openLines } from '../train/run/lines.ts';
import type { Pass, Question } from './questions.ts';
import type { Verdict } from './rules.ts';

/** A line of `answers.jsonl`: a question, what was answered, and how that was judged. */
export interface AnswerRecord extends Verdict {
  /** from 1, in the order in which answers came */
  step: number;
  key: string;
  pass: Pass;
  turn: number;
  file: string;
  row: number;
  set: string;
  split?: Question['split'];
  /** as the file of data gives it */
  imagePath: string;
  /** where the picture's file is, if it is in one */
  image?: string;
  options: string[];
  label: string;
  response: string;
  /** the whole of the response has the paper's form */
  wellFormed: boolean;
  /** it was cut at the limit */
  truncated: boolean;
  /** of the answer among the candidates, in the pass `classify` */
  probability?: number;
}

/** An answer that has no number yet. */
export type NewAnswer = Omit<AnswerRecord, 'step'>;

/** What decides on answers. Two evaluations with equal settings give equal ones. */
export type Settings = Readonly<Record<string, unknown>>;

/** The answers of an evaluation, which outlive the process where there is a folder for them. */
export interface Answers extends Disposable {
  /** those that are there already, and those that were added */
  readonly records: readonly AnswerRecord[];
  add(records: readonly NewAnswer[]): void;
}

const SETTINGS = 'settings.json';
const ANSWERS = 'answers.jsonl';

/**
 * Opens the answers of a folder, new or begun; what a kill left of a line is cut off.
 *
 * @param folder undefined: answers are kept in memory only
 * @throws ConfigError if the folder holds an evaluation with other settings
 * @throws CheckpointError if it cannot be written
 */
export function openAnswers(folder: string | undefined, settings: Settings): Answers {
  const records: AnswerRecord[] = [];
  const number = (added: readonly NewAnswer[]): AnswerRecord[] =>
    added.map((record, i) => ({ step: records.length + i + 1, ...record }));
  if (folder === undefined) {
    return { records, add: (added) => records.push(...number(added)), [Symbol.dispose]: () => undefined };
  }
  orCannotWrite(folder, () => mkdirSync(folder, { recursive: true }));
  assertSame(folder, settings);
  writeJson(join(folder, SETTINGS), settings);
  const file = join(folder, ANSWERS);
  const lines = openLines(file, Infinity);
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    records.push(JSON.parse(line) as AnswerRecord);
  }
  return {
    records,
    add: (added) => {
      const numbered = number(added);
      lines.append(numbered);
      records.push(...numbered);
    },
    [Symbol.dispose]: () => {
      lines.sync();
      lines[Symbol.dispose]();
    },
  };
}

function assertSame(folder: string, settings: Settings): void {
  const file = join(folder, SETTINGS);
  if (!existsSync(file)) {
    if (!existsSync(join(folder, ANSWERS))) return;
    throw new ConfigError(`${folder} holds ${ANSWERS} without ${SETTINGS}. Give another folder by --out.`);
  }
  const different = differences(readSettings(file), settings);
  if (different.length === 0) return;
  throw new ConfigError(
    `${folder} holds an evaluation with other settings: ${different.join('; ')}. Give another folder by --out, or the same ` +
      'settings to go on.',
  );
}

function readSettings(file: string): Settings {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Settings;
  } catch (error) {
    throw new ConfigError(`${file} cannot be read: ${messageOf(error)}. Give another folder by --out.`);
  }
}

/** Where settings differ, in words: `data[0].sha256 was "ab", and is "cd"`. */
export function differences(former: Settings, present: Settings): string[] {
  // As they come back from a file.
  return differencesIn('', former, JSON.parse(JSON.stringify(present)));
}

function differencesIn(path: string, was: unknown, is: unknown): string[] {
  if (isDeepStrictEqual(was, is)) return [];
  const say = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
  if (!(isObject(was) && isObject(is) && Array.isArray(was) === Array.isArray(is))) {
    return [`${path} was ${say(was)}, and is ${say(is)}`];
  }
  const inner = (name: string): string => {
    if (Array.isArray(was)) return `${path}[${name}]`;
    return path === '' ? name : `${path}.${name}`;
  };
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].flatMap((name) =>
    differencesIn(inner(name), was[name], is[name]),
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** Writes JSON under a temporary name first. */
export function writeJson(file: string, value: unknown): void {
  replaceFile(file, (write) => {
    write(Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`));
  });
}
