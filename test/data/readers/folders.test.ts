import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataError } from '../../../src/common/errors.ts';
import { openData, readRows } from '../../../src/data/readers/dataset.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'finer1-folders-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const write = (files: Record<string, string>): void => {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
};
/* A MATLAB file that scipy wrote. */
const copyMade = (name: string, to: string): void => {
  mkdirSync(dirname(join(root, to)), { recursive: true });
  copyFileSync(fileURLToPath(new URL(`made/${name}`, import.meta.url)), join(root, to));
};
/* Format, and what the rows say. */
const read = async (): Promise<[string | undefined, string[]]> => {
  const { datasets } = await openData(root);
  const rows = await readRows(root, 'classes');
  return [
    datasets[0]?.format,
    rows.map(({ image, label, split, seen }) =>
      [relative(root, image), label, split, seen ? 'seen' : 'unseen'].join(' | '),
    ),
  ];
};
const notesOf = async (): Promise<string[]> => (await openData(root)).datasets.flatMap(({ notes }) => notes);

describe('a folder per class', () => {
  it('is read in the order of names; a class without training pictures is unseen', async () => {
    write({
      'train/Great_Dane/b.jpg': '',
      'train/Great_Dane/a.PNG': '',
      'train/Akita/1.webp': '',
      'test/Akita/2.jpg': '',
      'test/Boxer/3.jpeg': '',
    });
    expect(await read()).toEqual([
      'class-folders',
      [
        'train/Akita/1.webp | Akita | train | seen',
        'train/Great_Dane/a.PNG | Great Dane | train | seen',
        'train/Great_Dane/b.jpg | Great Dane | train | seen',
        'test/Akita/2.jpg | Akita | test | seen',
        'test/Boxer/3.jpeg | Boxer | test | unseen',
      ],
    ]);
    expect(await notesOf()).toEqual([]);
  });

  it('follows seen.txt and unseen.txt, and notes what is left unused', async () => {
    write({
      'train/Akita/1.jpg': '',
      'train/Akita/notes.txt': '',
      'train/Boxer/2.jpg': '',
      'train/Empty/.keep': '',
      'test/Collie/3.jpg': '',
      'seen.txt': 'Akita\ncollie\n',
      'unseen.txt': 'boxer\r\nUnicorn\r\n',
    });
    expect((await read())[1].map((row) => row.split(' | ').slice(1).join(' '))).toEqual([
      'Akita train seen',
      'Boxer train unseen',
      'Collie test seen',
    ]);
    expect(await notesOf()).toEqual([
      expect.stringContaining('1 files are left out, as they are no pictures by their names'),
      expect.stringContaining('Empty has no pictures'),
      expect.stringContaining('"unicorn" of seen.txt or unseen.txt has no pictures'),
    ]);
  });

  it('may not have a class in both lists', async () => {
    write({ 'train/Akita/1.jpg': '', 'seen.txt': 'Akita', 'unseen.txt': 'akita' });
    await expect(openData(root)).rejects.toThrow(
      /"akita" is in .*seen\.txt and unseen\.txt\. Leave it in one/,
    );
  });
});

describe('the official layout of', () => {
  const aircraft = {
    'images/a.jpg': '',
    'images_variant_train.txt': '1025794 707-320\n',
    'images_variant_val.txt': '1056978 A300B4\n',
    'images_variant_test.txt': '1514522 A300B4\n0871196 F/A-18\n',
  };
  const aircraftRows = [
    'images/1025794.jpg | 707-320 | train | seen',
    'images/1056978.jpg | A300B4 | train | seen',
    'images/1514522.jpg | A300B4 | test | seen',
    'images/0871196.jpg | F/A-18 | test | unseen',
  ];

  it('FGVC-Aircraft, with or without the list of both training splits', async () => {
    write(aircraft);
    expect(await read()).toEqual(['fgvc-aircraft', aircraftRows]);
    write({ 'images_variant_trainval.txt': '1056978 A300B4\n1025794 707-320\n' });
    expect((await read())[1]).toEqual([aircraftRows[1], aircraftRows[0], ...aircraftRows.slice(2)]);
  });

  const birds = {
    'images.txt': '1 001.Black_footed_Albatross/x_1.jpg\n2 002.Ovenbird/y_2.jpg\n3 002.Ovenbird/z_3.jpg\n',
    'classes.txt': '1 001.Black_footed_Albatross\n2 002.Ovenbird\n',
    'image_class_labels.txt': '1 1\n2 2\n3 2\n',
    'train_test_split.txt': '1 0\n2 1\n3 0\n',
  };

  it('CUB-200-2011', async () => {
    write(birds);
    expect(await read()).toEqual([
      'cub-200-2011',
      [
        'images/001.Black_footed_Albatross/x_1.jpg | Black footed Albatross | test | unseen',
        'images/002.Ovenbird/y_2.jpg | Ovenbird | train | seen',
        'images/002.Ovenbird/z_3.jpg | Ovenbird | test | seen',
      ],
    ]);
  });

  it('Oxford-IIIT Pet', async () => {
    write({
      'images/x.jpg': '',
      'annotations/trainval.txt': '#Image CLASS-ID SPECIES BREED ID\nAbyssinian_100 1 1 1\n',
      'annotations/test.txt': 'english_cocker_spaniel_12 13 2 8\n',
    });
    expect(await read()).toEqual([
      'oxford-pet',
      [
        'images/Abyssinian_100.jpg | Abyssinian | train | seen',
        'images/english_cocker_spaniel_12.jpg | english cocker spaniel | test | unseen',
      ],
    ]);
  });

  it('Stanford Cars, which may lack the labels of its test', async () => {
    copyMade('cars_meta.mat', 'devkit/cars_meta.mat');
    copyMade('cars_train_annos.mat', 'devkit/cars_train_annos.mat');
    const ofTraining = [
      'cars_train/00001.jpg | Citroën C3 Hatchback 2010 | train | seen',
      'cars_train/00002.jpg | AM General Hummer SUV 2000 | train | seen',
    ];
    expect(await read()).toEqual(['stanford-cars', ofTraining]);
    expect(await notesOf()).toEqual([expect.stringContaining('the test pictures are left out')]);
    copyMade('cars_test_annos_withlabels.mat', 'cars_test_annos_withlabels.mat');
    const ofTest = 'cars_test/00001.jpg | AM General Hummer SUV 2000 | test | seen';
    expect(await read()).toEqual(['stanford-cars', [...ofTraining, ofTest]]);
    expect(await notesOf()).toEqual([]);
  });

  it('Stanford Dogs, its lists beside the pictures or apart', async () => {
    mkdirSync(join(root, 'Images'));
    const rows = [
      'Images/n02085620-Chihuahua/n02085620_5927.jpg | Chihuahua | train | seen',
      'Images/n02085620-Chihuahua/n02085620_2650.jpg | Chihuahua | test | seen',
      'Images/n02107574-Greater_Swiss_Mountain_dog/n02107574_1.jpg | Greater Swiss Mountain dog | test | unseen',
    ];
    for (const place of ['lists', '.']) {
      for (const split of ['train', 'test']) copyMade(`${split}_list.mat`, `${place}/${split}_list.mat`);
      expect(await read()).toEqual(['stanford-dogs', rows]);
      rmSync(join(root, 'lists'), { recursive: true, force: true });
    }
  });

  it('Flowers-102', async () => {
    mkdirSync(join(root, 'jpg'));
    for (const name of ['imagelabels.mat', 'setid.mat']) copyMade(name, name);
    expect(await read()).toEqual([
      'flowers-102',
      [
        'jpg/image_00002.jpg | pink primrose | train | seen',
        'jpg/image_00003.jpg | blackberry lily | train | seen',
        'jpg/image_00001.jpg | passion flower | test | unseen',
        'jpg/image_00004.jpg | pink primrose | test | seen',
      ],
    ]);
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'a line of one word',
      { ...aircraft, 'images_variant_val.txt': '\n1056978\n' },
      'images_variant_val.txt, row 2: found "1056978"; expected picture and variant',
    ],
    ['an empty list', { ...birds, 'images.txt': '' }, 'has no rows'],
    [
      'a class that is not listed',
      { ...birds, 'image_class_labels.txt': '1 1\n2 9\n3 2\n' },
      'images.txt, row 2: picture 2 has the class nothing and the split "1"',
    ],
    [
      'a split that is none',
      { ...birds, 'train_test_split.txt': '1 0\n2 x\n3 0\n' },
      'has the class "002.Ovenbird" and the split "x"',
    ],
    [
      'a MATLAB file that is none',
      { 'jpg/a.jpg': '', 'imagelabels.mat': '<html>', 'setid.mat': '' },
      'imagelabels.mat is no MATLAB file of level 5',
    ],
  ])('a damaged set is refused: %s', async (_, files, message) => {
    write(files);
    await expect(readRows(root, 'classes')).rejects.toThrow(DataError);
    await expect(readRows(root, 'classes')).rejects.toThrow(message);
  });
});

describe('a folder of several kinds', () => {
  const row = JSON.stringify({
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  });

  it('gives each file and folder that is of a known kind, and names the others', async () => {
    write({
      'sft.jsonl': row,
      'classes.json': '["a"]',
      'data/x_test.jsonl': JSON.stringify({ image_path: 'a', question: 'b', ground_truth: 'c' }),
      'images/train/Akita/1.jpg': '',
      'README.md': '',
    });
    const { datasets, ignored } = await openData(root);
    expect(datasets.map(({ kind, path }) => [kind, relative(root, path)])).toEqual([
      ['chat', 'sft.jsonl'],
      ['eval', 'data/x_test.jsonl'],
      ['classes', 'images'],
    ]);
    expect(ignored.map((file) => relative(root, file))).toEqual(['classes.json']);
    expect(await readRows(root, 'chat')).toHaveLength(1);
    await expect(readRows(root, 'triplets')).rejects.toThrow(
      'holds chat (sharegpt-jsonl), eval (eval-jsonl), classes (class-folders); rows of the kind triplets were expected',
    );
  });

  it('is refused where it holds none, with what was expected', async () => {
    await expect(openData(root)).rejects.toThrow(
      /holds no data in a known layout\. Expected: .*Oxford-IIIT Pet/,
    );
    await expect(openData(join(root, 'x'))).rejects.toThrow(`${join(root, 'x')} is not there`);
  });
});
