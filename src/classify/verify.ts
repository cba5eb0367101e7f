import type { Model } from '../api/loadModel.ts';
import type { ModelHashes } from '../train/run/provenance.ts';
import { type Classification, classify } from './classify.ts';
import { PROMPT_VERSION, promptOf } from './prompt.ts';
import { type ClassifyRecord, describeImage } from './record.ts';

/** A field in which a record and what is found now differ; undefined: not there. */
export interface Difference {
  field: string;
  recorded: unknown;
  found: unknown;
}

/*
 * Another processor or number of threads sums in another order. Where that turns no word of the reasoning, a float32
 * model's probabilities move by less than this.
 */
const PROBABILITY_TOLERANCE = 1e-4;

/** In what a model's files, a picture and the prompt differ from those of a record. */
export function compareInputs(record: ClassifyRecord, model: ModelHashes, image: Uint8Array): Difference[] {
  const { sha256 } = describeImage(record.image.path, image);
  return [
    ...compareEntries('model.weights', record.model.weights, model.weights),
    ...compareEntries('model.config', record.model.config, model.config),
    ...compareField('image.sha256', record.image.sha256, sha256),
    ...compareField('promptVersion', record.promptVersion, PROMPT_VERSION),
    ...compareField('prompt', record.prompt, promptOf(record)),
  ];
}

/**
 * Classifies again as a record says, and compares. Errors as `classify`.
 * @param model that of the record
 * @param image the content of the record's picture
 */
export async function replay(
  record: ClassifyRecord,
  model: Model,
  image: Uint8Array,
  signal?: AbortSignal,
): Promise<Difference[]> {
  const { question, instruction, candidates, minProbability, maxNewTokens } = record;
  const options = { question, instruction, minProbability, maxNewTokens, ...(signal && { signal }) };
  return compareResults(record, await classify(model, image, candidates, options));
}

/** In what a classification differs from that of a record. */
export function compareResults(recorded: Classification, found: Classification): Difference[] {
  const fields = ['label', 'refused', 'reasoning', 'response', 'truncated'] as const;
  return [
    ...fields.flatMap((field) => compareField(field, recorded[field], found[field])),
    ...compareEntries('probabilities', recorded.probabilities ?? {}, found.probabilities ?? {}, isClose),
  ];
}

/** The versions that differ from those of a record: not wrong, but they may be why something else differs. */
export const compareVersions = (
  recorded: ClassifyRecord['versions'],
  found: ClassifyRecord['versions'],
): Difference[] => compareEntries('versions', recorded, found);

/** `field: recorded "a", found "b"` */
export const describeDifference = ({ field, recorded, found }: Difference): string =>
  `${field}: recorded ${inWords(recorded)}, found ${inWords(found)}`;

const inWords = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value));

const isClose = (a: unknown, b: unknown): boolean =>
  typeof a === 'number' && typeof b === 'number' && Math.abs(a - b) <= PROBABILITY_TOLERANCE;

const compareField = (field: string, recorded: unknown, found: unknown): Difference[] =>
  recorded === found ? [] : [{ field, recorded, found }];

function compareEntries(
  name: string,
  recorded: Readonly<Record<string, unknown>>,
  found: Readonly<Record<string, unknown>>,
  isSame: (a: unknown, b: unknown) => boolean = Object.is,
): Difference[] {
  const keys = new Set([...Object.keys(recorded), ...Object.keys(found)]);
  return [...keys]
    .filter((key) => !isSame(recorded[key], found[key]))
    .map((key) => ({
      field: `${name}[${JSON.stringify(key)}]`,
      recorded: recorded[key],
      found: found[key],
    }));
}
