import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { DataError } from '../../common/errors.ts';
import { toLabel } from '../readers/classFolders.ts';
import { readRows } from '../readers/dataset.ts';

/**
 * Reads names of unseen sub-categories: a text file with a name a line, or test questions (their right answers).
 * @throws DataError if the file cannot be read or names none
 */
export async function readUnseen(file: string): Promise<string[]> {
  if (!existsSync(file)) {
    throw new DataError(
      `${file} is not there. Name a file with a sub-category a line, or .jsonl of test questions.`,
    );
  }
  const names = ['.jsonl', '.json'].includes(extname(file))
    ? (await readRows(file, 'eval')).map(({ groundTruth }) => groundTruth)
    : readFileSync(file, 'utf8')
        .split('\n')
        .map(toLabel)
        .filter((name) => name !== '');
  if (names.length === 0) throw new DataError(`${file} names no sub-category. Write one a line.`);
  return [...new Set(names)];
}
