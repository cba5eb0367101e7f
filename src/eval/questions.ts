import { existsSync } from 'node:fs';
import { basename, dirname, extname, relative, resolve } from 'node:path';
import { assertCandidates } from '../classify/candidates.ts';
import { ConfigError, DataError } from '../common/errors.ts';
import { createRandom, shuffled } from '../common/random.ts';
import type { EvalConfig, OptionOrder } from '../config/eval.ts';
import type { ImageSource } from '../data/image/decode.ts';
import { placeOf } from '../data/readers/fields.ts';
import { readRows } from '../data/readers/dataset.ts';
import type { EvalRow, RowOrigin } from '../data/rows.ts';
import { hashFiles } from '../train/run/provenance.ts';
import { groupBy } from './groupBy.ts';
import { arrangeOptions } from './options.ts';
import { promptOf } from './prompts.ts';

/** A pass over the rows: with options in an order, or without them (the open world). */
export type Pass = OptionOrder | 'open';

/** A question as it is asked. */
export interface Question {
  /** of the row: the same for each file of this content */
  key: string;
  pass: Pass;
  /** from 0; of rotations, which one */
  turn: number;
  origin: RowOrigin;
  /** what the row is counted under: its file's name without `seen` or `unseen` */
  set: string;
  split?: EvalRow['split'];
  image: ImageSource;
  /** as the file gives it */
  imagePath: string;
  /** what is asked, behind the picture; in the pass `classify`, what that is given as a question */
  text: string;
  /** in the order in which they are asked; none in the open world */
  options: string[];
  label: string;
  /** all names in the files of the set */
  classes: readonly string[];
}

/** A row that could not be asked. */
export interface LeftOut extends RowOrigin {
  image: string;
  reason: string;
}

/** What there is to ask. */
export interface Questions {
  questions: Question[];
  /** rows whose pictures are not there */
  missing: LeftOut[];
  data: { file: string; sha256: string }[];
}

/** The passes that an evaluation makes. */
export const passesOf = ({ openWorld, options = ['stored', 'shuffled'] }: EvalConfig): Pass[] =>
  openWorld ? ['open'] : [...new Set(options)];

/**
 * Reads the rows of an evaluation, and makes of each the questions of all passes. Rows whose pictures are missing are
 * listed instead.
 *
 * @throws DataError if a row is wrong or has no options to name, or no picture is there at all
 * @throws ConfigError if two files have the same content, or options cannot be candidates
 */
export async function readQuestions(config: EvalConfig): Promise<Questions> {
  const { images } = config;
  const read = await Promise.all(
    config.data.map((path) => readRows(path, 'eval', images === undefined ? {} : { imageRoot: images })),
  );
  // A file that is named twice, or with its folder, counts once.
  const rows = new Map(read.flat().map((row) => [`${resolve(row.origin.file)}:${row.origin.row}`, row]));
  const files = groupBy(rows.values(), ({ origin }) => resolve(origin.file));
  const hashes = await hashFiles([...files.keys()]);
  assertDifferent(hashes);
  const classes = classesOf([...rows.values()]);
  const result: Questions = {
    questions: [],
    missing: [],
    data: Object.entries(hashes).map(([file, sha256]) => ({ file: basename(file), sha256 })),
  };
  const asked = [...files.values()].flatMap((rows) => drawRows(rows, config));
  for (const row of asked) {
    const { origin, image } = row;
    if (typeof image === 'string' && !existsSync(image)) {
      result.missing.push({ ...origin, image, reason: 'there is no such file' });
    }
  }
  if (result.missing.length === asked.length) throw allMissing(result.missing, images);
  const gone = new Set(result.missing.map(placeOf));
  const present = asked.filter(({ origin }) => !gone.has(placeOf(origin)));
  for (const pass of passesOf(config)) {
    for (const row of present) {
      const hash = hashes[resolve(row.origin.file)] as string;
      result.questions.push(...questionsOf(row, pass, config, hash, classes.get(setOf(row)) as string[]));
    }
  }
  return result;
}

const HASH_CHARS = 12;

function questionsOf(
  row: EvalRow,
  pass: Pass,
  { images, prompt, seed }: EvalConfig,
  hash: string,
  classes: readonly string[],
): Question[] {
  const { origin, image, question, split, groundTruth } = row;
  if (pass !== 'open' && row.options.length === 0) {
    throw new DataError(
      `${placeOf(origin)} has no options, which the closed world asks with. Give options, or ask by --open-world.`,
    );
  }
  if (pass === 'classify') assertCandidates(row.options, placeOf(origin));
  const place = { file: basename(origin.file), row: origin.row };
  const orders = pass === 'open' ? [[]] : arrangeOptions(row.options, pass, seed, place);
  const root = resolve(images ?? dirname(origin.file));
  return orders.map((options, turn) => ({
    key: `${hash.slice(0, HASH_CHARS)}:${origin.row}`,
    pass,
    turn,
    origin,
    set: setOf(row),
    ...(split !== undefined && { split }),
    image,
    imagePath: typeof image === 'string' ? pathInFile(root, image) : '',
    text: pass === 'classify' ? question : promptOf(prompt, question, options),
    options,
    label: groundTruth,
    classes,
  }));
}

/* The folders above the root are the person's, and say nothing of the picture. */
function pathInFile(root: string, image: string): string {
  const path = relative(root, image);
  return path.startsWith('..') ? image : path;
}

function drawRows(rows: EvalRow[], { rows: count, seed }: EvalConfig): EvalRow[] {
  if (count === undefined) return rows;
  return shuffled(createRandom(seed, 'evaluation rows'), rows)
    .slice(0, count)
    .sort((a, b) => a.origin.row - b.origin.row);
}

function setOf({ origin: { file } }: EvalRow): string {
  const name = basename(file, extname(file));
  return name.replace(/[-_. ]*(un)?seen$/i, '') || name;
}

function classesOf(rows: readonly EvalRow[]): Map<string, string[]> {
  const names = groupBy(rows, setOf);
  return new Map(
    [...names].map(([set, of]) => [
      set,
      [...new Set(of.flatMap(({ options, groundTruth }) => [...options, groundTruth]))],
    ]),
  );
}

function assertDifferent(hashes: Record<string, string>): void {
  for (const [hash, files] of groupBy(Object.keys(hashes), (file) => hashes[file])) {
    if (files.length === 1) continue;
    throw new ConfigError(
      `${files.join(' and ')} have the same content (sha256 ${hash ?? ''}): rows would count twice. Name one of them.`,
    );
  }
}

const allMissing = (missing: readonly LeftOut[], images: string | undefined): DataError =>
  new DataError(
    `None of the ${missing.length} pictures is there, the first being ${missing[0]?.image ?? ''}. Paths begin at ` +
      `${images ?? "the file's folder"}; give the folder where they begin by --images.`,
  );
