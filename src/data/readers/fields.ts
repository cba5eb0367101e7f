import { isAbsolute, join } from 'node:path';
import type { z } from 'zod';
import { DataError, messageOf } from '../../common/errors.ts';
import type { OnBadRow, RowOrigin } from '../rows.ts';

/** Where a row stands, in words. */
export const placeOf = ({ file, row }: RowOrigin): string => `${file}, row ${row}`;

/**
 * Checks a row's fields.
 * @throws DataError that names file, row and field, what was found and what was expected
 */
export function parseFields<T extends z.ZodType>(schema: T, value: unknown, origin: RowOrigin): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.path ?? [];
  const field = path.length === 0 ? '' : `, field ${path.join('.')}`;
  const expected = (issue?.message ?? '')
    .replace(/^Invalid (input|option): /, '')
    .replace(/, received .*$/, '');
  throw new DataError(
    `${placeOf(origin)}${field}: ${expected}; found ${excerpt(valueAt(value, path))}. Correct the row, or leave it out.`,
  );
}

const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  );

const EXCERPT_CHARS = 60;

/** A value in a few words, for messages. */
export function excerpt(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  const text = JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'bigint' ? String(inner) : inner,
  );
  return text.length > EXCERPT_CHARS ? `${text.slice(0, EXCERPT_CHARS)}...` : text;
}

/** A picture's path as a file of data gives it: relative ones begin at `root`. */
export const resolveImage = (root: string, path: string): string =>
  isAbsolute(path) ? path : join(root, path);

/** What stands in a row's place in a file, read when it is needed. */
export interface RawRow {
  origin: RowOrigin;
  /** @throws DataError if it is not even JSON */
  read: () => unknown;
}

/**
 * Makes typed rows of raw ones; those that are wrong go to `onBadRow` if there is one.
 * @throws DataError of the first row that is wrong, without `onBadRow`
 */
export async function* parseRows<T>(
  raw: AsyncIterable<RawRow>,
  parse: (value: unknown, origin: RowOrigin) => T,
  onBadRow: OnBadRow | undefined,
): AsyncGenerator<T> {
  for await (const { origin, read } of raw) {
    let row: T;
    try {
      row = parse(read(), origin);
    } catch (error) {
      if (onBadRow === undefined || !(error instanceof DataError)) throw error;
      onBadRow(error, origin);
      continue;
    }
    yield row;
  }
}

/** @throws DataError that says that the file cannot be read, and why */
export function cannotRead(path: string, error: unknown): never {
  throw new DataError(`${path} cannot be read: ${messageOf(error)}.`);
}
