import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { z } from 'zod';
import { DataError, messageOf } from '../common/errors.ts';
import { parseFields, type RawRow } from '../data/readers/fields.ts';
import { readJsonLines } from '../data/readers/json.ts';

/*
 * What the report reads of the files that other parts of finer1 write. Fields that it does not need may be missing or of another
 * kind, so that runs of other versions can be read too.
 */

/* JSON has no NaN: what is not finite is null. */
const figure = z.number().nullable();
const hashes = z.record(z.string(), z.string());

/** A row of `metrics.jsonl`: figures by their names. */
export const metricsRow = z.object({ step: z.int() }).catchall(figure);
export type MetricsRow = z.infer<typeof metricsRow>;

/** A row of `generations.jsonl`: a response to a triplet's question, with what it earned. */
export const generationRow = z.object({
  step: z.int(),
  /** its number in the step */
  group: z.int(),
  /** the triplet's number among the rows of the data */
  row: z.int(),
  prompt: z.string(),
  label: z.string(),
  picture: z.enum(['anchor', 'positive']),
  /** the picture that was seen, and the negative */
  images: z.array(z.object({ path: z.string().optional(), sha256: z.string() })),
  response: z.string(),
  answer: z.string().nullable(),
  truncated: z.boolean(),
  reward: z.object({ overall: figure, format: figure, accuracy: figure, strict: figure }),
  trained: z.boolean(),
  advantage: figure,
});
export type GenerationRow = z.infer<typeof generationRow>;

/** `run.json`: the facts of a training. */
export const runFacts = z.object({
  sessions: z
    .array(
      z.object({
        started: z.string(),
        fromStep: z.number(),
        finer1: z.string(),
        node: z.string(),
        commit: z.string().optional(),
        ended: z.string().optional(),
        outcome: z.string().optional(),
        reason: z.string().optional(),
      }),
    )
    .default([]),
  backend: z.object({ backend: z.string(), device: z.string(), why: z.string() }).optional(),
  model: z.string().optional(),
  seed: z.number().optional(),
  data: hashes.default({}),
  weights: hashes.default({}),
  rowsTooLong: z.number().default(0),
  classes: z.array(z.string()).default([]),
  totalSteps: z.number().optional(),
  plan: z.object({ totalSteps: z.number() }).optional(),
  predicted: z.record(z.string(), z.unknown()).optional(),
  actual: z.record(z.string(), z.unknown()).optional(),
});
export type RunFacts = z.infer<typeof runFacts>;

/** A row of `answers.jsonl`: a question of a test, and what was answered. */
export const answerRow = z.object({
  key: z.string(),
  /** in which order the options were named, or that there were none */
  pass: z.string(),
  turn: z.int(),
  set: z.string(),
  split: z.string().optional(),
  image: z.string().optional(),
  imagePath: z.string(),
  options: z.array(z.string()),
  label: z.string(),
  response: z.string(),
  /** the known classes that the answer names */
  named: z.array(z.string()),
  released: z.boolean(),
  strict: z.boolean(),
  wellFormed: z.boolean(),
  truncated: z.boolean(),
});
export type AnswerRow = z.infer<typeof answerRow>;

/** `settings.json` of a test: what decides on the answers. */
export const testSettings = z.record(z.string(), z.unknown());

const estimate = z.object({ mean: z.number(), low: z.number(), high: z.number() });

/** `results.json` of a test: there when all was asked. */
export const testResults = z.object({
  passes: z.array(
    z.object({
      pass: z.string(),
      groups: z.array(
        z.object({
          name: z.string(),
          rows: z.number(),
          released: estimate,
          strict: estimate,
          similarity: estimate.optional(),
          wellFormed: z.number(),
          truncated: z.number(),
        }),
      ),
      refusal: z
        .object({
          curve: z.array(z.object({ threshold: z.number(), coverage: z.number(), risk: z.number() })),
        })
        .optional(),
    }),
  ),
  leftOut: z.array(z.object({ file: z.string(), row: z.number(), image: z.string(), reason: z.string() })),
});
export type TestResults = z.infer<typeof testResults>;

/**
 * Reads a file of JSON.
 * @returns undefined where there is no such file
 * @throws DataError that names the file and the field, if it is damaged
 */
export function readJsonFile<T extends z.ZodType>(file: string, schema: T): z.output<T> | undefined {
  if (!existsSync(file)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new DataError(
      `${file} cannot be read: ${messageOf(error)}. Mend it, or take it out of the folder.`,
    );
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new DataError(
    `${file} is not as finer1 writes it:\n${z.prettifyError(result.error)}\nMend it, or take it out of the folder.`,
  );
}

/**
 * The rows of a file of JSON lines, one after the other, so it may be larger than memory; none where there is no file. A
 * last row without an end of line is what a kill left of it: it is passed over.
 *
 * @param onTorn is called where that was so
 * @throws DataError that names file, line and field, if a row is damaged
 */
export async function* readLines<T extends z.ZodType>(
  file: string,
  schema: T,
  onTorn: () => void,
): AsyncGenerator<z.output<T>> {
  if (!existsSync(file)) return;
  const isWhole = endsInNewline(file);
  let last: RawRow | undefined;
  const parse = ({ origin, read }: RawRow): z.output<T> => parseFields(schema, read(), origin);
  for await (const row of readJsonLines(file)) {
    if (last !== undefined) yield parse(last);
    last = row;
  }
  if (last === undefined) return;
  if (isWhole) yield parse(last);
  else onTorn();
}

const NEWLINE = 10;

function endsInNewline(file: string): boolean {
  const handle = openSync(file, 'r');
  try {
    const last = Buffer.alloc(1);
    const { size } = fstatSync(handle);
    return size === 0 || (readSync(handle, last, 0, 1, size - 1) === 1 && last[0] === NEWLINE);
  } finally {
    closeSync(handle);
  }
}
