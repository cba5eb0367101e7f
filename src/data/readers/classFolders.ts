import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { DataError } from '../../common/errors.ts';
import type { ClassRow } from '../rows.ts';
import { cannotRead } from './fields.ts';

/** A picture with its sub-category, before it is known whether that is seen. */
export type LabelledPicture = Omit<ClassRow, 'seen'>;

/** Says of what is left unused. */
export type Note = (text: string) => void;

const PICTURES = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif', '.svg']);

/** A name as a folder or a list has it, as people write it. */
export const toLabel = (name: string): string => name.replaceAll('_', ' ').trim();

/** What of two names has to be equal for them to be the same sub-category. */
export const labelKey = (name: string): string => toLabel(name).toLowerCase();

/** Whether a folder holds `train/` or `test/`, with a folder for each class. */
export const isClassFolders = (folder: string): boolean =>
  (['train', 'test'] as const).some(
    (split) =>
      existsSync(join(folder, split)) &&
      readdirSync(join(folder, split), { withFileTypes: true }).some((entry) => entry.isDirectory()),
  );

/**
 * The pictures of `train/CLASS/` and `test/CLASS/`, in the order of their names.
 * @throws DataError if a folder cannot be read
 */
export function listClassFolders(folder: string, note: Note): LabelledPicture[] {
  return (['train', 'test'] as const)
    .filter((split) => existsSync(join(folder, split)))
    .flatMap((split) =>
      list(join(folder, split), (entry) => entry.isDirectory()).flatMap((name) => {
        const file = join(folder, split, name);
        const names = list(file, (entry) => !entry.isDirectory());
        const pictures = names.filter((picture) => PICTURES.has(extname(picture).toLowerCase()));
        if (pictures.length < names.length) {
          note(
            `${file}: ${names.length - pictures.length} files are left out, as they are no pictures by their names.`,
          );
        }
        if (pictures.length === 0) note(`${file} has no pictures.`);
        return pictures.map((picture, i) => ({
          origin: { file, row: i + 1 },
          image: join(file, picture),
          label: toLabel(name),
          split,
        }));
      }),
    );
}

function list(folder: string, isWanted: (entry: { isDirectory(): boolean }) => boolean): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.') && isWanted(entry))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    return cannotRead(folder, error);
  }
}

/**
 * Says of each picture whether its sub-category is seen: by `seen.txt` and `unseen.txt` in the folder, a name a line;
 * without, one is seen that has training pictures.
 *
 * @throws DataError if a name is in both lists, or a list cannot be read
 */
export function withSeen(folder: string, pictures: readonly LabelledPicture[], note: Note): ClassRow[] {
  const [seen, unseen] = ['seen.txt', 'unseen.txt'].map((name) => readNames(join(folder, name))) as [
    Set<string>,
    Set<string>,
  ];
  const both = [...seen].find((name) => unseen.has(name));
  if (both !== undefined)
    throw new DataError(`"${both}" is in ${folder}'s seen.txt and unseen.txt. Leave it in one.`);
  const known = new Set(pictures.map(({ label }) => labelKey(label)));
  const trained = new Set(
    pictures.filter(({ split }) => split === 'train').map(({ label }) => labelKey(label)),
  );
  for (const name of [...seen, ...unseen].filter((listed) => !known.has(listed))) {
    note(`${folder}: "${name}" of seen.txt or unseen.txt has no pictures.`);
  }
  const isSeen = (label: string): boolean =>
    seen.has(labelKey(label)) || (trained.has(labelKey(label)) && !unseen.has(labelKey(label)));
  return pictures.map((picture) => ({ ...picture, seen: isSeen(picture.label) }));
}

function readNames(file: string): Set<string> {
  if (!existsSync(file)) return new Set();
  try {
    const lines = readFileSync(file, 'utf8').split('\n').map(labelKey);
    return new Set(lines.filter((line) => line !== ''));
  } catch (error) {
    return cannotRead(file, error);
  }
}
