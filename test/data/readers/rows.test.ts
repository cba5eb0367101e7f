import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parquetWriteFile } from 'hyparquet-writer';
import { DataError } from '../../../src/common/errors.ts';
import { openData, readRows } from '../../../src/data/readers/dataset.ts';
import type { DataKind } from '../../../src/data/rows.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-rows-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const write = (name: string, content: string): string => {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
};
const lines = (rows: readonly unknown[]): string => rows.map((row) => JSON.stringify(row)).join('\n');
const made = (name: string): string => fileURLToPath(new URL(`made/${name}`, import.meta.url));

const ASK = { role: 'user', content: '<image>Which bird?' };
const ANSWER = { role: 'assistant', content: '<think>a</think><answer>Ovenbird</answer>' };
const chat = { messages: [ASK, ANSWER], images: ['a.jpg'] };
const triplet = {
  images: ['a.jpg'],
  problem: '<image>Which bird?',
  answer: 'Ovenbird',
  image_noisy: { path: 'b.jpg' },
  image_aug: '/pictures/c.jpg',
};
const question = {
  image_path: 'birds/a.jpg',
  question: 'Which bird?',
  options: ['Ovenbird', 'Gadwall'],
  ground_truth: 'Gadwall',
};

describe('conversations', () => {
  it('are read as messages or as conversations, of JSON or JSONL, alike', async () => {
    const older = {
      conversations: [
        { from: 'human', value: ASK.content },
        { from: 'gpt', value: ANSWER.content },
      ],
      image: 'a.jpg',
    };
    const files = [
      write('a.json', JSON.stringify([chat])),
      write('a.jsonl', `\uFEFF${JSON.stringify(chat)}\r\n\r\n`),
      write('b.json', JSON.stringify([older])),
    ];
    for (const file of files) {
      expect(await readRows(file, 'chat')).toEqual([
        { origin: { file, row: 1 }, messages: chat.messages, images: [join(folder, 'a.jpg')] },
      ]);
    }
    const rooted = await readRows(files[0] ?? '', 'chat', { imageRoot: '/pictures' });
    expect(rooted[0]?.images).toEqual(['/pictures/a.jpg']);
  });

  it('may have a system turn, no picture, or several questions', async () => {
    const system = { role: 'system', content: 'Be brief.' };
    const rows = [
      { messages: [system, { ...ASK, content: 'Hm?' }, ANSWER] },
      { ...chat, messages: [ASK, ANSWER] },
    ];
    const file = write('system.jsonl', lines(rows));
    expect(
      (await readRows(file, 'chat')).map(({ messages, images }) => [messages.length, images.length]),
    ).toEqual([
      [3, 0],
      [2, 1],
    ]);
  });
});

describe('triplets', () => {
  it('are read of JSONL, pictures as paths', async () => {
    const file = write('triplets.jsonl', lines([triplet, { ...triplet, options: ['Ovenbird', 'Gadwall'] }]));
    const row = {
      problem: '<image>Which bird?',
      answer: 'Ovenbird',
      anchor: join(folder, 'a.jpg'),
      positive: join(folder, 'b.jpg'),
      negative: '/pictures/c.jpg',
    };
    expect(await readRows(file, 'triplets')).toEqual([
      { origin: { file, row: 1 }, ...row },
      { origin: { file, row: 2 }, ...row, options: ['Ovenbird', 'Gadwall'] },
    ]);
  });

  it.each(['list-zstd', 'struct-snappy'])('are read of parquet as pyarrow writes it: %s', async (name) => {
    const file = made(`${name}.parquet`);
    const rows = await readRows(file, 'triplets');
    expect(rows.map(({ origin, answer }) => [origin.row, answer])).toEqual([
      [1, 'Ovenbird'],
      [2, 'Gadwall'],
      [3, 'Mallard'],
    ]);
    const [first, second] = rows;
    const isPng = (source: unknown): boolean =>
      source instanceof Uint8Array && Buffer.from(source.subarray(1, 4)).toString() === 'PNG';
    expect([isPng(first?.anchor), isPng(first?.positive), first?.negative]).toEqual([
      true,
      true,
      made('b.jpg'),
    ]);
    expect(second?.positive).toBe(made('b.jpg'));
  });

  it('are read of parquet with paths', async () => {
    const file = join(folder, 'paths.parquet');
    const column = (name: string, value: string) => ({ name, data: [value, value], type: 'STRING' as const });
    parquetWriteFile({
      filename: file,
      columnData: [
        column('images', 'a.jpg'),
        column('problem', 'Which bird?'),
        column('answer', 'Ovenbird'),
        column('image_noisy', 'b.jpg'),
        column('image_aug', 'c.jpg'),
      ],
      rowGroupSize: 1,
    });
    const rows = await readRows(file, 'triplets');
    expect(rows.map(({ origin, anchor, negative }) => [origin.row, anchor, negative])).toEqual([
      [1, join(folder, 'a.jpg'), join(folder, 'c.jpg')],
      [2, join(folder, 'a.jpg'), join(folder, 'c.jpg')],
    ]);
  });
});

describe('test questions', () => {
  it.each([
    ['bird_seen.jsonl', { split: 'seen' }],
    ['bird_unseen.jsonl', { split: 'unseen' }],
    ['foreseen.jsonl', {}],
  ])('know by the name %s whether their sub-categories are seen', async (name, split) => {
    const file = write(name, lines([question]));
    const { question: text, options, ground_truth: groundTruth } = question;
    const image = join(folder, 'birds/a.jpg');
    expect(await readRows(file, 'eval')).toEqual([
      { origin: { file, row: 1 }, image, question: text, options, groundTruth, ...split },
    ]);
  });

  it('have no options in the open world', async () => {
    const file = write('open.jsonl', lines([{ ...question, options: undefined }]));
    expect((await readRows(file, 'eval'))[0]?.options).toEqual([]);
  });
});

describe('a wrong row is named, with what was found and expected:', () => {
  it.each<[string, DataKind, string, string]>([
    ['no JSON', 'chat', '{"messages"', 'x.jsonl, row 2 is no JSON'],
    ['no row', 'chat', '7', 'row 2: expected object; found 7'],
    [
      'a role',
      'chat',
      lines([{ ...chat, messages: [{ role: 'bot', content: '' }] }]),
      'field messages.0.role: expected system, user (or human) or assistant (or gpt); found "bot"',
    ],
    [
      'a number as text',
      'chat',
      lines([{ ...chat, messages: [{ role: 'user', content: 5 }] }]),
      'field messages.0.content: expected string; found 5',
    ],
    [
      'a mark too few',
      'chat',
      lines([{ ...chat, images: ['a', 'b'] }]),
      'the messages have 1 <image> marks, but images lists 2 pictures',
    ],
    [
      'no answer',
      'chat',
      lines([{ ...chat, messages: [ASK] }]),
      'the turns are user; expected a system turn or none, then user and assistant',
    ],
    [
      'two questions',
      'chat',
      lines([{ ...chat, messages: [ASK, { ...ASK, content: '' }, ANSWER] }]),
      'the turns are user, user, assistant',
    ],
    [
      'no picture',
      'triplets',
      lines([{ ...triplet, image_aug: null }]),
      'field image_aug: expected a path, {bytes, path}, or a list of one of these; found null',
    ],
    [
      'two pictures',
      'triplets',
      lines([{ ...triplet, images: ['a', 'b'] }]),
      'field images: expected a path, {bytes, path}, or a list of one of these; found ["a","b"]',
    ],
    [
      'an empty answer',
      'triplets',
      lines([{ ...triplet, answer: '' }]),
      'field answer: expected a text; found ""',
    ],
    [
      'no question',
      'eval',
      lines([{ ...question, question: undefined }]),
      'field question: expected string; found nothing',
    ],
    [
      'the truth is no option',
      'eval',
      lines([{ ...question, ground_truth: 'Ani' }]),
      'field ground_truth: "Ani" is not among the options ["Ovenbird","Gadwall"]',
    ],
  ])('%s', async (_, kind, wrong, message) => {
    const good = { chat, triplets: triplet, eval: question, classes: {} }[kind];
    const file = write('x.jsonl', `${JSON.stringify(good)}\n${wrong}\n${JSON.stringify(good)}\n`);
    const reading = readRows(file, kind);
    await expect(reading).rejects.toThrow(DataError);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toThrow(`${file}, row 2`);
    // The rest can be read where wrong rows are put up with.
    const { datasets } = await openData(file);
    const [rows, bad]: [number[], number[]] = [[], []];
    const all = datasets[0]?.rows((__, { row }) => bad.push(row)) ?? [];
    for await (const { origin } of all) rows.push(origin.row);
    expect([rows, bad]).toEqual([[1, 3], [2]]);
  });

  it.each([
    ['one.json', '{"messages": []}', 'holds one object; an array of rows was expected'],
    ['cut.json', '[{"messages"', 'is no JSON'],
    ['none.jsonl', '\n', 'has no rows'],
    ['other.jsonl', '{"text": 1}', 'its first row has the fields text; expected conversations'],
    ['cut.parquet', 'PAR1xxxxxxxxPAR', 'cannot be read as parquet'],
  ])('the file %s', async (name, content, message) => {
    const file = write(name, content);
    await expect(openData(file)).rejects.toThrow(DataError);
    await expect(openData(file)).rejects.toThrow(file);
    await expect(openData(file)).rejects.toThrow(message);
  });

  it('a parquet file of something else', async () => {
    const file = join(folder, 'else.parquet');
    parquetWriteFile({ filename: file, columnData: [{ name: 'text', data: ['a'], type: 'STRING' }] });
    await expect(openData(file)).rejects.toThrow(
      `${file} has the columns text; expected images, problem, answer`,
    );
  });
});
