import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { DataError } from '../../common/errors.ts';
import type { DataFormat, DataKind, Dataset, OnBadRow, RowKinds, RowOrigin } from '../rows.ts';
import { parseChatRow } from './chat.ts';
import {
  isClassFolders,
  type LabelledPicture,
  listClassFolders,
  type Note,
  withSeen,
} from './classFolders.ts';
import { parseEvalRow } from './evaluation.ts';
import { cannotRead, parseRows, type RawRow } from './fields.ts';
import { readJsonArray, readJsonLines } from './json.ts';
import { isOfficialSet, OFFICIAL_SETS } from './officialSets.ts';
import { parquetColumns, parseTripletRow, readParquet } from './triplets.ts';

/** How a file or folder is read. */
export interface ReadOptions {
  /** where relative paths of pictures begin; default: the folder of the file of data */
  imageRoot?: string;
}

/** What a file or folder holds. */
export interface OpenedData {
  datasets: Dataset[];
  /** files of the folder that could be data, but are of no known format */
  ignored: string[];
}

const EXPECTED =
  'expected conversations (messages or conversations, images), triplets (images, problem, answer, image_noisy, image_aug) ' +
  'or test questions (image_path, question, options, ground_truth)';

/**
 * Finds out what a file or folder is, from its layout and its first row: a file of conversations, triplets or test
 * questions; a folder of such files; a folder per class; one of the six official sets. Rows are read when they are asked
 * for.
 *
 * @throws DataError if it is none of these, with what was expected
 */
export async function openData(path: string, options: ReadOptions = {}): Promise<OpenedData> {
  if (!existsSync(path)) throw new DataError(`${path} is not there. Name a file or a folder of data.`);
  if (!statSync(path).isDirectory()) return { datasets: [await openFile(path, options)], ignored: [] };
  const folders = [path, ...subfolders(path)].map(openFolder).filter((found) => found !== undefined);
  const files = await openFiles(path, options);
  const datasets = [...files.datasets, ...folders];
  if (datasets.length > 0) return { datasets, ignored: files.ignored };
  throw new DataError(
    `${path} holds no data in a known layout. Expected: .json, .jsonl or .parquet files of rows, a folder per class ` +
      '(train/CLASS/*.jpg), or FGVC-Aircraft, CUB-200-2011, Stanford Cars, Stanford Dogs, Flowers-102 or Oxford-IIIT Pet ' +
      'with their lists.',
  );
}

/**
 * What a file or folder holds of one kind.
 * @throws DataError if it holds rows of another kind only
 */
export async function openKind<K extends DataKind>(
  path: string,
  kind: K,
  options: ReadOptions = {},
): Promise<Extract<Dataset, { kind: K }>[]> {
  const { datasets } = await openData(path, options);
  const fitting = datasets.filter(
    (dataset): dataset is Extract<Dataset, { kind: K }> => dataset.kind === kind,
  );
  if (fitting.length > 0) return fitting;
  const found = datasets.map((dataset) => `${dataset.kind} (${dataset.format})`).join(', ');
  throw new DataError(`${path} holds ${found}; rows of the kind ${kind} were expected. Name another file.`);
}

/**
 * All rows of one kind that a file or folder holds.
 * @throws DataError if it holds rows of another kind only, or a row is wrong
 */
export async function readRows<K extends DataKind>(
  path: string,
  kind: K,
  options: ReadOptions = {},
): Promise<RowKinds[K][]> {
  const rows: RowKinds[K][] = [];
  for (const dataset of await openKind(path, kind, options)) {
    for await (const row of dataset.rows()) rows.push(row as RowKinds[K]);
  }
  if (rows.length === 0) throw new DataError(`${path} has no rows.`);
  return rows;
}

const isData = (name: string): boolean =>
  ['.json', '.jsonl', '.parquet'].includes(extname(name).toLowerCase());

const subfolders = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => join(folder, name))
    .sort();

/* A folder's files of rows, or those of its folder `data`, as the hub's datasets have them. */
async function openFiles(folder: string, options: ReadOptions): Promise<OpenedData> {
  const names = (place: string): string[] =>
    existsSync(place) && statSync(place).isDirectory()
      ? readdirSync(place)
          .filter(isData)
          .sort()
          .map((name) => join(place, name))
      : [];
  const opened: OpenedData = { datasets: [], ignored: [] };
  for (const file of [...names(folder), ...names(join(folder, 'data'))]) {
    try {
      opened.datasets.push(await openFile(file, options));
    } catch (error) {
      if (!(error instanceof UnknownFormat)) throw error;
      opened.ignored.push(file);
    }
  }
  return opened;
}

class UnknownFormat extends DataError {}

function openFolder(folder: string): Dataset | undefined {
  const set = OFFICIAL_SETS.find((candidate) => isOfficialSet(folder, candidate));
  if (set !== undefined) return ofClasses(folder, set.format, (root, note) => set.list(root, note));
  return isClassFolders(folder) ? ofClasses(folder, 'class-folders', listClassFolders) : undefined;
}

function ofClasses(
  folder: string,
  format: DataFormat,
  list: (folder: string, note: Note) => LabelledPicture[],
): Dataset {
  const notes: string[] = [];
  const note: Note = (text) => notes.push(text);
  const rows = withSeen(folder, list(folder, note), note);
  return {
    kind: 'classes',
    format,
    path: folder,
    notes,
    // eslint-disable-next-line @typescript-eslint/require-await
    rows: async function* () {
      yield* rows;
    },
  };
}

async function openFile(file: string, { imageRoot = dirname(file) }: ReadOptions): Promise<Dataset> {
  const end = extname(file).toLowerCase();
  const dataset = { path: file, notes: [] };
  const of = <T>(raw: (file: string) => AsyncIterable<RawRow>, parse: Parser<T>) => ({
    ...dataset,
    rows: (onBadRow?: OnBadRow) =>
      parseRows(raw(file), (value, origin) => parse(value, origin, imageRoot), onBadRow),
  });
  if (end === '.parquet') {
    const columns = await parquetColumns(file);
    if (columns.includes('image_noisy')) {
      return { kind: 'triplets', format: 'triplets-parquet', ...of(readParquet, parseTripletRow) };
    }
    throw new UnknownFormat(
      `${file} has the columns ${columns.join(', ')}; expected images, problem, answer, image_noisy, image_aug.`,
    );
  }
  const isLines = end !== '.json';
  const raw = isLines ? readJsonLines : readJsonArray;
  const fields = await firstFields(raw, file);
  const has = (name: string): boolean => fields.includes(name);
  if (has('messages') || has('conversations')) {
    return { kind: 'chat', format: isLines ? 'sharegpt-jsonl' : 'sharegpt-json', ...of(raw, parseChatRow) };
  }
  if (has('image_noisy') || has('image_aug')) {
    return { kind: 'triplets', format: 'triplets-jsonl', ...of(raw, parseTripletRow) };
  }
  if (has('image_path') || has('ground_truth')) {
    return { kind: 'eval', format: 'eval-jsonl', ...of(raw, parseEvalRow) };
  }
  throw new UnknownFormat(
    `${file}: its first row has the fields ${fields.join(', ') || 'none'}; ${EXPECTED}.`,
  );
}

type Parser<T> = (value: unknown, origin: RowOrigin, imageRoot: string) => T;

async function firstFields(raw: (file: string) => AsyncIterable<RawRow>, file: string): Promise<string[]> {
  if (!statSync(file).isFile()) return cannotRead(file, new Error('it is no file'));
  for await (const { read } of raw(file)) {
    const value = read();
    return typeof value === 'object' && value !== null ? Object.keys(value) : [];
  }
  throw new DataError(`${file} has no rows.`);
}
