import { basename } from 'node:path';
import { z } from 'zod';
import { DataError } from '../../common/errors.ts';
import type { EvalRow, RowOrigin } from '../rows.ts';
import { excerpt, parseFields, placeOf, resolveImage } from './fields.ts';

const schema = z.object({
  image_path: z.string().min(1, "expected a picture's path"),
  question: z.string().min(1, 'expected a question'),
  options: z.array(z.string().min(1, 'expected a name')).default([]),
  ground_truth: z.string().min(1, 'expected a name'),
});

/**
 * Reads a row of a test: `image_path`, `question`, `options` (none in the open world), `ground_truth`. Whether its
 * sub-categories were trained on is taken from the file's name (`..._seen.jsonl`, `..._unseen.jsonl`).
 *
 * @param imageRoot where relative paths begin
 * @throws DataError that names the row and the field
 */
export function parseEvalRow(value: unknown, origin: RowOrigin, imageRoot: string): EvalRow {
  const row = parseFields(schema, value, origin);
  if (row.options.length > 0 && !row.options.includes(row.ground_truth)) {
    throw new DataError(
      `${placeOf(origin)}, field ground_truth: ${excerpt(row.ground_truth)} is not among the options ` +
        `${excerpt(row.options)}: nobody could answer. Add it.`,
    );
  }
  const split = splitOf(origin.file);
  return {
    origin,
    image: resolveImage(imageRoot, row.image_path),
    question: row.question,
    options: row.options,
    groundTruth: row.ground_truth,
    ...(split !== undefined && { split }),
  };
}

function splitOf(file: string): EvalRow['split'] {
  const words = basename(file)
    .toLowerCase()
    .split(/[^a-z]+/);
  if (words.includes('unseen')) return 'unseen';
  return words.includes('seen') ? 'seen' : undefined;
}
