import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { DataError, messageOf } from '../../common/errors.ts';
import { cannotRead, placeOf, type RawRow } from './fields.ts';

const BYTE_ORDER_MARK = '\uFEFF';

/**
 * The lines of a JSONL file, one after the other, so it may be larger than memory. Empty lines are passed over.
 * @throws DataError if the file cannot be read
 */
export async function* readJsonLines(file: string): AsyncGenerator<RawRow> {
  const stream = createReadStream(file, 'utf8');
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  let row = 0;
  try {
    for await (const line of lines) {
      row++;
      const text = row === 1 ? withoutMark(line) : line;
      if (text.trim() === '') continue;
      const origin = { file, row };
      yield { origin, read: () => parse(text, placeOf(origin)) };
    }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) cannotRead(file, error);
    throw error;
  } finally {
    stream.destroy();
  }
}

/**
 * The elements of the array that a JSON file holds. The file is read whole.
 * @throws DataError if the file cannot be read, is no JSON or no array
 */
export async function* readJsonArray(file: string): AsyncGenerator<RawRow> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => cannotRead(file, error));
  const value = parse(withoutMark(text), file);
  if (!Array.isArray(value)) {
    throw new DataError(`${file} holds one ${typeof value}; an array of rows was expected: [{...}, ...].`);
  }
  for (const [i, element] of (value as unknown[]).entries()) {
    yield { origin: { file, row: i + 1 }, read: () => element };
  }
}

const withoutMark = (text: string): string => (text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);

function parse(text: string, place: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new DataError(
      `${place} is no JSON: ${messageOf(error)}. It may be cut short, or damaged by an editor.`,
    );
  }
}
