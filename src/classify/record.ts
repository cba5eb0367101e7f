import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { DataError, messageOf } from '../common/errors.ts';
import { FINER1_VERSION } from '../common/version.ts';
import { readCheckpointIndex } from '../model/checkpoint.ts';
import { EMBEDDING } from '../model/names.ts';
import { runningTensorFlow } from '../runtime/tensorflow/context.ts';
import type { SelectedBackend } from '../runtime/select.ts';
import type { Classification } from './classify.ts';
import { PROMPT_VERSION, promptOf } from './prompt.ts';

const hashes = z.record(z.string(), z.string());

const recordSchema = z.strictObject({
  label: z.string().nullable(),
  refused: z.boolean(),
  probabilities: z.record(z.string(), z.number()).nullable(),
  reasoning: z.string(),
  response: z.string(),
  truncated: z.boolean(),
  model: z.strictObject({ name: z.string(), weights: hashes, config: hashes }),
  image: z.strictObject({ path: z.string(), sha256: z.string(), size: z.int() }),
  promptVersion: z.string(),
  prompt: z.string(),
  question: z.string(),
  instruction: z.string(),
  candidates: z.array(z.string()).nullable(),
  minProbability: z.number(),
  maxNewTokens: z.int(),
  seed: z.null(),
  versions: z.strictObject({
    finer1: z.string(),
    node: z.string(),
    tensorflow: z.string().nullable(),
    backend: z.enum(['tensorflow', 'wasm']),
    device: z.string(),
    dtype: z.string(),
  }),
});

/**
 * What is kept of a classification, so that it can be done again: what came of it, the hashes of all that went in, what
 * was asked, and what computed it. `seed` is null, as nothing is drawn.
 */
export type ClassifyRecord = z.infer<typeof recordSchema>;

/** What computes: versions, and the type of the weights as they are stored. */
export function describeVersions(folder: string, backend: SelectedBackend): ClassifyRecord['versions'] {
  const stored = readCheckpointIndex(folder).get(EMBEDDING)?.dtype ?? 'F32';
  return {
    finer1: FINER1_VERSION,
    node: process.version,
    tensorflow: backend.backend === 'tensorflow' ? (runningTensorFlow()?.version ?? null) : null,
    backend: backend.backend,
    device: backend.device,
    dtype: { F32: 'float32', BF16: 'bfloat16', F16: 'float16' }[stored],
  };
}

/** Where a picture is, and what is in it. */
export const describeImage = (path: string, content: Uint8Array): ClassifyRecord['image'] => ({
  path,
  sha256: createHash('sha256').update(content).digest('hex'),
  size: content.length,
});

/** What was asked; all that the command line says of it. */
export type Asked = Pick<
  ClassifyRecord,
  'question' | 'instruction' | 'candidates' | 'minProbability' | 'maxNewTokens'
>;

/** The record of a classification. */
export const toRecord = (
  result: Classification,
  { model, image, versions }: Pick<ClassifyRecord, 'model' | 'image' | 'versions'>,
  asked: Asked,
): ClassifyRecord => ({
  ...result,
  model,
  image,
  promptVersion: PROMPT_VERSION,
  prompt: promptOf(asked),
  ...asked,
  seed: null,
  versions,
});

/** A record with the place that it was read from, for messages. */
export interface PlacedRecord {
  /** `file` or `file:line` */
  place: string;
  record: ClassifyRecord;
}

/**
 * Reads a file of one record, or of one a line.
 * @throws DataError that names file, line and field of what is no record
 */
export function readRecords(file: string): PlacedRecord[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new DataError(
      `${file} cannot be read: ${messageOf(error)}. Give what finer1 classify --json printed.`,
    );
  }
  const whole = parseJson(text);
  if (whole !== undefined) return [parseRecord(whole, file)];
  const lines = text.split('\n').map((line, i) => ({ line, place: `${file}:${i + 1}` }));
  const records = lines
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, place }) => parseRecord(parseJson(line), place));
  if (records.length > 0) return records;
  throw new DataError(`${file} is empty. Give what finer1 classify --json printed.`);
}

function parseRecord(value: unknown, place: string): PlacedRecord {
  if (value === undefined) {
    throw new DataError(
      `${place} is no JSON; a record was expected. Give what finer1 classify --json printed.`,
    );
  }
  const result = recordSchema.safeParse(value);
  if (result.success) return { place, record: result.data };
  throw new DataError(
    `${place} is no record of finer1 classify:\n${z.prettifyError(result.error)}\nGive what finer1 classify --json printed.`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
