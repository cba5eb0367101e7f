import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { z } from 'zod';
import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageSource } from '../image/decode.ts';
import type { RowOrigin, TripletRow } from '../rows.ts';
import { parseFields, type RawRow, resolveImage } from './fields.ts';

const EXPECTED_PICTURE = 'expected a path, {bytes, path}, or a list of one of these';
/* Parquet gives text without its annotation as bytes. */
const text = z
  .union([z.string(), z.instanceof(Uint8Array).transform((bytes) => Buffer.from(bytes).toString())], {
    error: 'expected a text',
  })
  .pipe(z.string().min(1, 'expected a text'));
const single = z.union([
  text,
  z
    .object({ bytes: z.instanceof(Uint8Array).nullish(), path: text.nullish() })
    .transform(({ bytes, path }) => bytes ?? path)
    .pipe(z.union([z.instanceof(Uint8Array), z.string()])),
]);
const picture = z.union([single, z.tuple([single]).transform(([only]) => only)], { error: EXPECTED_PICTURE });
const schema = z.object({
  images: picture,
  problem: text,
  answer: text,
  image_noisy: picture,
  image_aug: picture,
  options: z.array(text).nullish(),
});

/**
 * Reads a row of stage 2 in the released names: `images` (the anchor), `problem`, `answer`, `image_noisy` (another
 * picture of the same sub-category), `image_aug` (one of the most similar other). The problem's text is left as it is.
 *
 * @param imageRoot where relative paths begin
 * @throws DataError that names the row and the field
 */
export function parseTripletRow(value: unknown, origin: RowOrigin, imageRoot: string): TripletRow {
  const row = parseFields(schema, value, origin);
  const source = (image: ImageSource): ImageSource =>
    typeof image === 'string' ? resolveImage(imageRoot, image) : image;
  return {
    origin,
    problem: row.problem,
    answer: row.answer,
    anchor: source(row.images),
    positive: source(row.image_noisy),
    negative: source(row.image_aug),
    ...(row.options != null && { options: row.options }),
  };
}

/** The columns of a parquet file. @throws DataError if it cannot be read */
export async function parquetColumns(file: string): Promise<string[]> {
  try {
    const metadata = await parquetMetadataAsync(await asyncBufferFromFile(file));
    return parquetSchema(metadata).children.map(({ element }) => element.name);
  } catch (error) {
    return noParquet(file, 0, error);
  }
}

/**
 * The rows of a parquet file, one row group in memory at a time; pictures in it come as their bytes.
 * @throws DataError if the file cannot be read
 */
export async function* readParquet(file: string): AsyncGenerator<RawRow> {
  let row = 0;
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    for (const { num_rows } of metadata.row_groups) {
      const rowEnd = row + Number(num_rows);
      const rows = await parquetReadObjects({
        file: buffer,
        metadata,
        compressors,
        rowStart: row,
        rowEnd,
        utf8: false,
      });
      for (const value of rows) {
        row++;
        yield { origin: { file, row }, read: () => value };
      }
    }
  } catch (error) {
    noParquet(file, row, error);
  }
}

function noParquet(file: string, row: number, error: unknown): never {
  throw new DataError(
    `${file} cannot be read as parquet, after row ${row}: ${messageOf(error)}. It may be cut short: fetch it again.`,
  );
}
