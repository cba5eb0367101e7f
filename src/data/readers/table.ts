import { readFileSync } from 'node:fs';
import { DataError } from '../../common/errors.ts';
import type { RowOrigin } from '../rows.ts';
import { cannotRead, excerpt } from './fields.ts';

/**
 * The lines of a list as the official sets have them: a word without spaces, then the rest of the line. Empty lines and
 * those that begin with `#` are passed over.
 *
 * @param columns what the two are called in messages
 * @throws DataError if the file cannot be read, or a line has one word only
 */
export function readTable(
  file: string,
  columns: readonly [string, string],
): { origin: RowOrigin; cells: [string, string] }[] {
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8').split('\n');
  } catch (error) {
    return cannotRead(file, error);
  }
  return lines.flatMap((line, i) => {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) return [];
    const [, first, rest] = /^(\S+)\s+(.+)$/.exec(text) ?? [];
    if (first === undefined || rest === undefined) {
      throw new DataError(
        `${file}, row ${i + 1}: found ${excerpt(text)}; expected ${columns.join(' and ')}, with a space between.`,
      );
    }
    return [{ origin: { file, row: i + 1 }, cells: [first, rest] }];
  });
}
