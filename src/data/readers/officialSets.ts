import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '../../common/errors.ts';
import type { DataFormat } from '../rows.ts';
import { type LabelledPicture, type Note, toLabel } from './classFolders.ts';
import { excerpt } from './fields.ts';
import { FLOWER_NAMES } from './flowerNames.ts';
import { cellTexts, numbersOf, readFields, readMat } from './mat.ts';
import { readTable } from './table.ts';

/** How one of the six official sets lies on disk. */
export interface OfficialSet {
  format: DataFormat;
  /** files that all have to be there for a folder to be this set */
  marks: string[];
  /** Pictures in the order of the set's lists. @throws DataError if a list is missing, damaged or does not fit */
  list: (folder: string, note: Note) => LabelledPicture[];
}

/** FGVC-Aircraft (its folder `data`): a list for each split, of a picture's number and its variant. */
const aircraft: OfficialSet = {
  format: 'fgvc-aircraft',
  marks: ['images', 'images_variant_test.txt'],
  list: (folder) => {
    const trainval = join(folder, 'images_variant_trainval.txt');
    const ofTraining = existsSync(trainval)
      ? [trainval]
      : ['train', 'val'].map((split) => join(folder, `images_variant_${split}.txt`));
    const read = (file: string, split: 'train' | 'test'): LabelledPicture[] =>
      readTable(file, ['picture', 'variant']).map(({ origin, cells: [picture, label] }) => {
        return { origin, image: join(folder, 'images', `${picture}.jpg`), label, split };
      });
    return [
      ...ofTraining.flatMap((file) => read(file, 'train')),
      ...read(join(folder, 'images_variant_test.txt'), 'test'),
    ];
  },
};

/** CUB-200-2011: four lists that are joined by the pictures' and classes' numbers. */
const birds: OfficialSet = {
  format: 'cub-200-2011',
  marks: ['images.txt', 'image_class_labels.txt', 'train_test_split.txt', 'classes.txt'],
  list: (folder) => {
    const map = (name: string, columns: [string, string]): Map<string, string> =>
      new Map(readTable(join(folder, name), columns).map(({ cells }) => cells));
    const names = map('classes.txt', ['class', 'name']);
    const classes = map('image_class_labels.txt', ['picture', 'class']);
    const isTraining = map('train_test_split.txt', ['picture', 'is training']);
    return readTable(join(folder, 'images.txt'), ['picture', 'path']).map(({ origin, cells: [id, path] }) => {
      const split = isTraining.get(id);
      const name = names.get(classes.get(id) ?? '');
      if (name === undefined || (split !== '0' && split !== '1')) {
        throw new DataError(
          `${origin.file}, row ${origin.row}: picture ${id} has the class ${excerpt(name)} and the split ${excerpt(split)}; ` +
            'a class of classes.txt, and 0 or 1 of train_test_split.txt were expected. Fetch the set again.',
        );
      }
      return {
        origin,
        image: join(folder, 'images', path),
        label: toLabel(name.replace(/^\d+\./, '')),
        split: split === '1' ? 'train' : 'test',
      };
    });
  },
};

/** Stanford Cars: annotations of MATLAB in `devkit`; the labels of the test pictures came later, in a file apart. */
const cars: OfficialSet = {
  format: 'stanford-cars',
  marks: ['devkit/cars_meta.mat', 'devkit/cars_train_annos.mat'],
  list: (folder, note) => {
    const meta = join(folder, 'devkit/cars_meta.mat');
    const names = cellTexts(readMat(meta), 'class_names', meta);
    const read = (file: string, split: 'train' | 'test'): LabelledPicture[] =>
      readFields(readMat(file), 'annotations', ['fname', 'class'], file).map(([name, number], i) => ({
        origin: { file, row: i + 1 },
        image: join(folder, `cars_${split}`, String(name)),
        label: nameOf(names, number, { file, row: i + 1 }),
        split,
      }));
    const tests = ['', 'devkit'].map((place) => join(folder, place, 'cars_test_annos_withlabels.mat'));
    const test = tests.find((file) => existsSync(file));
    if (test === undefined) {
      note(
        `${folder}: the test pictures are left out: cars_test_annos_withlabels.mat, which has their labels, is missing.`,
      );
    }
    return [
      ...read(join(folder, 'devkit/cars_train_annos.mat'), 'train'),
      ...(test === undefined ? [] : read(test, 'test')),
    ];
  },
};

/** Stanford Dogs: lists of MATLAB, beside `Images` or in `lists`, of paths that begin with the class. */
const dogs: OfficialSet = {
  format: 'stanford-dogs',
  marks: ['Images'],
  list: (folder) =>
    (['train', 'test'] as const).flatMap((split) => {
      const places = ['', 'lists'].map((place) => join(folder, place, `${split}_list.mat`));
      const file = places.find((place) => existsSync(place)) ?? join(folder, `${split}_list.mat`);
      return cellTexts(readMat(file), 'file_list', file).map((path, i) => {
        const label = /^n\d+-([^/]+)\//.exec(path)?.[1];
        if (label === undefined) {
          throw new DataError(
            `${file}, row ${i + 1}: found the path "${path}"; nXXXXXXXX-NAME/FILE was expected. Fetch the list again.`,
          );
        }
        return {
          origin: { file, row: i + 1 },
          image: join(folder, 'Images', path),
          label: toLabel(label),
          split,
        };
      });
    }),
};

/** Flowers-102: the class of each picture by its number, and the numbers of three splits (training, validation, test). */
const flowers: OfficialSet = {
  format: 'flowers-102',
  marks: ['jpg', 'imagelabels.mat', 'setid.mat'],
  list: (folder) => {
    const [labelFile, file] = [join(folder, 'imagelabels.mat'), join(folder, 'setid.mat')];
    const labels = numbersOf(readMat(labelFile), 'labels', labelFile);
    const sets = readMat(file);
    const read = (set: string, split: 'train' | 'test'): LabelledPicture[] =>
      numbersOf(sets, set, file).map((picture, i) => ({
        origin: { file, row: i + 1 },
        image: join(folder, 'jpg', `image_${String(picture).padStart(5, '0')}.jpg`),
        label: nameOf(FLOWER_NAMES, labels[picture - 1], { file, row: i + 1 }),
        split,
      }));
    return [...read('trnid', 'train'), ...read('valid', 'train'), ...read('tstid', 'test')];
  },
};

/** Oxford-IIIT Pet: a list for each split; a picture is named after its class. */
const pets: OfficialSet = {
  format: 'oxford-pet',
  marks: ['images', 'annotations/trainval.txt', 'annotations/test.txt'],
  list: (folder) =>
    (['train', 'test'] as const).flatMap((split) => {
      const file = join(folder, 'annotations', split === 'train' ? 'trainval.txt' : 'test.txt');
      return readTable(file, ['picture', 'numbers']).map(({ origin, cells: [picture] }) => ({
        origin,
        image: join(folder, 'images', `${picture}.jpg`),
        label: toLabel(picture.replace(/_\d+$/, '')),
        split,
      }));
    }),
};

/** The six sets of the paper. */
export const OFFICIAL_SETS: readonly OfficialSet[] = [aircraft, birds, cars, dogs, flowers, pets];

/** Whether a folder is laid out as the set. */
export const isOfficialSet = (folder: string, { marks, format }: OfficialSet): boolean =>
  marks.every((mark) => existsSync(join(folder, mark))) &&
  (format !== 'stanford-dogs' ||
    ['train_list.mat', 'lists/train_list.mat'].some((list) => existsSync(join(folder, list))));

function nameOf(
  names: readonly string[],
  number: number | string | undefined,
  { file, row }: { file: string; row: number },
): string {
  const name = typeof number === 'number' ? names[number - 1] : undefined;
  if (name !== undefined) return name;
  throw new DataError(
    `${file}, row ${row}: found the class ${excerpt(number)}; a number from 1 to ${names.length} was expected. ` +
      'Fetch the set again.',
  );
}
