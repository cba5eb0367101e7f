import { DataError } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import { labelKey } from '../readers/classFolders.ts';
import { placeOf } from '../readers/fields.ts';
import type { OpenedData } from '../readers/dataset.ts';
import type { DataKind, Dataset, RowKinds } from '../rows.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { containedNames, createNameFinder, type NameFinder } from './names.ts';
import { createPictures, findDuplicates, type KnownPicture, type Pictures } from './pictures.ts';
import { createProblems, type Problem, type Problems } from './problems.ts';
import { type Reading, readings } from './readings.ts';
import { histogramOf, summarise, type TokenBin, type TokenSummary } from './tokens.ts';

/** How data is checked. */
export interface CheckOptions {
  imageConfig: ImageConfig;
  quirks: ImageQuirks;
  /** tokens that a row may have, with its pictures */
  cutoffTokens: number;
  /** without it, only the pictures' tokens are counted */
  tokenizer?: Tokenizer;
  /** sub-categories that no text for training should name, besides those of test questions on unseen ones */
  unseen?: readonly string[];
  onProgress?: (done: number, total: number) => void;
}

/** What the check found. */
export interface CheckReport {
  /** one, or several with commas between */
  format: string;
  rows: number;
  classes: number;
  /** different pictures, by path or content */
  images: number;
  /** whether a training on it would be right: there is no error */
  ok: boolean;
  datasets: { path: string; kind: DataKind; format: string; rows: number; classes: number }[];
  tokens: {
    /** of a row; null without a tokenizer */
    text: TokenSummary | null;
    /** of a row's pictures: of a triplet, of its largest; null where none could be read */
    images: TokenSummary | null;
    /** rows by all of their tokens, of those whose pictures could be read; those without text only if none has text */
    histogram: TokenBin[];
    /** tokens that conversations teach; null without a tokenizer */
    learnt: number | null;
    cutoff: number;
  };
  problems: Problem[];
}

/* A row as far as it is needed once its pictures are known. */
interface RowFacts {
  place: string;
  dataset: number;
  textTokens: number | undefined;
  pictures: KnownPicture[];
  isTriplet: boolean;
}

interface Check {
  options: CheckOptions;
  problems: Problems;
  pictures: Pictures;
  namesUnseen: NameFinder;
  rows: RowFacts[];
  classes: Set<string>;
  learnt: number;
}

/**
 * Checks data before it is used: its rows, texts, pictures, and how its parts for training and tests fit together.
 * @throws DataError if a file cannot be read at all
 */
export async function checkData(
  { datasets, ignored }: OpenedData,
  options: CheckOptions,
): Promise<CheckReport> {
  const check: Check = {
    options,
    problems: createProblems(),
    pictures: createPictures(options.imageConfig, options.quirks),
    namesUnseen: createNameFinder(await unseenNames(datasets, options.unseen ?? [])),
    rows: [],
    classes: new Set(),
    learnt: 0,
  };
  for (const file of ignored) check.problems.add('left-out', `${file} (its rows are of no known format)`);
  const summaries: CheckReport['datasets'] = [];
  for (const [i, dataset] of datasets.entries()) summaries.push(await checkRows(check, dataset, i));
  await check.pictures.inspect(options.onProgress);
  checkPictures(check);
  const totals = checkLengths(check, summaries);
  const problems = check.problems.list();
  const withText = totals.filter(({ hasText }) => hasText);
  return {
    format: [...new Set(datasets.map(({ format }) => format))].join(', '),
    rows: summaries.reduce((sum, { rows }) => sum + rows, 0),
    classes: check.classes.size,
    images: check.pictures.all().length,
    ok: problems.every(({ severity }) => severity !== 'error'),
    datasets: summaries,
    tokens: {
      text: summarise(check.rows.flatMap(({ textTokens }) => textTokens ?? [])) ?? null,
      images: summarise(totals.map(({ imageTokens }) => imageTokens)) ?? null,
      histogram: histogramOf((withText.length > 0 ? withText : totals).map(({ all }) => all)),
      learnt: options.tokenizer === undefined ? null : check.learnt,
      cutoff: options.cutoffTokens,
    },
    problems,
  };
}

/* Those of the list, of test questions on unseen sub-categories, and of folders of unseen classes. */
async function unseenNames(datasets: readonly Dataset[], listed: readonly string[]): Promise<string[]> {
  const names = new Map(listed.map((name) => [labelKey(name), name]));
  for (const dataset of datasets) {
    const ignore = (): void => undefined;
    if (dataset.kind === 'eval') {
      for await (const { split, groundTruth } of dataset.rows(ignore)) {
        if (split === 'unseen') names.set(labelKey(groundTruth), groundTruth);
      }
    } else if (dataset.kind === 'classes') {
      for await (const { seen, label } of dataset.rows(ignore)) if (!seen) names.set(labelKey(label), label);
    }
  }
  return [...names.values()];
}

async function checkRows(
  check: Check,
  dataset: Dataset,
  index: number,
): Promise<CheckReport['datasets'][number]> {
  const { problems } = check;
  const labels = new Map<string, string>();
  let count = 0;
  for (const note of dataset.notes) problems.add('left-out', note);
  const rows = dataset.rows((error) => {
    count++;
    problems.add('bad-row', error.message);
  });
  for await (const row of rows) {
    count++;
    const place = placeOf(row.origin);
    const reading = readOrReport(check, dataset, row, place);
    if (reading === undefined) continue;
    const { label, split, images, trainingText, textTokens, learnt } = reading;
    for (const [code, where] of reading.problems)
      problems.add(code, where === '' ? place : `${place} (${where})`);
    check.learnt += learnt ?? 0;
    if (label !== undefined) labels.set(labelKey(label), label);
    const named = trainingText === undefined ? [] : check.namesUnseen(trainingText);
    if (named.length > 0) problems.add('unseen-in-text', `${place} (${named.join(', ')})`);
    const pictures = await Promise.all(
      images.map((image, i) =>
        check.pictures.add(image, split, typeof image === 'string' ? image : `${place}, picture ${i + 1}`),
      ),
    );
    check.rows.push({ place, dataset: index, textTokens, pictures, isTriplet: dataset.kind === 'triplets' });
  }
  if (count === 0) problems.add('no-rows', dataset.path);
  // Options of a test are its own; there, what counts is looked at row by row.
  if (dataset.kind !== 'eval') {
    for (const [longer, name] of containedNames([...labels.values()])) {
      problems.add('label-in-label', `${dataset.path}: "${longer}" contains "${name}"`);
    }
  }
  for (const key of labels.keys()) check.classes.add(key);
  const { path, kind, format } = dataset;
  return { path, kind, format, rows: count, classes: labels.size };
}

/* What a row says; one that cannot be encoded is a problem, as those that cannot be read are. */
function readOrReport(
  { options, problems }: Check,
  { kind }: Dataset,
  row: RowKinds[DataKind],
  place: string,
): Reading | undefined {
  try {
    return readings[kind](row as never, options);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    problems.add('bad-row', `${place}: ${error.message}`);
    return undefined;
  }
}

function checkPictures({ pictures, problems }: Check): void {
  for (const { name, inspection } of pictures.all()) {
    if (inspection?.state === 'missing') problems.add('missing-image', name);
    if (inspection?.state === 'broken') problems.add('broken-image', `${name} (${inspection.why})`);
  }
  for (const [train, test] of findDuplicates(pictures.all())) {
    problems.add('duplicate-across-splits', train === test ? train.name : `${train.name} and ${test.name}`);
  }
}

/* Rows whose pictures are known, with their tokens. */
function checkLengths(
  { rows, problems, options: { cutoffTokens } }: Check,
  datasets: readonly { path: string; kind: DataKind }[],
): { all: number; imageTokens: number; hasText: boolean }[] {
  const known = rows.flatMap(({ place, dataset, textTokens, pictures, isTriplet }) => {
    const counts = pictures.flatMap(({ inspection }) =>
      inspection?.state === 'whole' ? [inspection.tokens] : [],
    );
    if (counts.length < pictures.length) return [];
    if (isTriplet && new Set(counts).size > 1) {
      problems.add('unlike-sizes', `${place} (${counts.join(', ')} tokens)`);
    }
    // A triplet's pictures are each in a prompt of their own.
    const imageTokens = isTriplet ? Math.max(...counts) : counts.reduce((sum, count) => sum + count, 0);
    const all = (textTokens ?? 0) + imageTokens;
    const fits = all <= cutoffTokens;
    if (!fits) {
      const parts = `${textTokens ?? 'not counted'} of text, ${imageTokens} of pictures`;
      problems.add('too-long', `${place} (${all} tokens: ${parts}; the limit is ${cutoffTokens})`);
    }
    return [{ dataset, all, imageTokens, hasText: textTokens !== undefined, fits }];
  });
  for (const [i, { path, kind }] of datasets.entries()) {
    const own = known.filter(({ dataset }) => dataset === i);
    const isTraining = kind === 'chat' || kind === 'triplets';
    if (isTraining && own.length > 0 && own.every(({ fits }) => !fits)) problems.add('nothing-fits', path);
  }
  return known;
}
