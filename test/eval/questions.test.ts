import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, DataError } from '../../src/common/errors.ts';
import { type EvalConfig, parseEvalConfig } from '../../src/config/eval.ts';
import { readQuestions } from '../../src/eval/questions.ts';

type Row = Record<'image_path' | 'question' | 'ground_truth', string> & { options: string[] };
const row = (image: string, options: string[]): Row => ({
  image_path: image,
  question: 'What bird?',
  options,
  ground_truth: options[0] as string,
});
const newFolder = (): string => mkdtempSync(join(tmpdir(), 'finer1-questions-'));
function write(file: string, rows: readonly object[]): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, rows.map((one) => `${JSON.stringify(one)}\n`).join(''));
  return file;
}
const config = (data: string[], more: Partial<EvalConfig> = {}): EvalConfig =>
  parseEvalConfig({ model: 'm', data, ...more });

/* Rows whose pictures are there. */
function writeRows(name: string, options: readonly string[][]): string {
  const folder = newFolder();
  const rows = options.map((some, i) => row(`images/${i}.png`, some));
  mkdirSync(join(folder, 'images'));
  for (const { image_path } of rows) writeFileSync(join(folder, image_path), 'x');
  return write(join(folder, name), rows);
}

describe('the questions of an evaluation', () => {
  let file: string;
  beforeAll(() => {
    file = writeRows('bird_seen.jsonl', [
      ['owl', 'hawk', 'kite'],
      ['hawk', 'owl', 'gull'],
    ]);
  });

  it('are those of all rows, pass by pass, stored and shuffled where nothing else is said', async () => {
    const { questions, missing, data } = await readQuestions(config([file]));
    expect(missing).toEqual([]);
    expect(data).toEqual([
      { file: 'bird_seen.jsonl', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
    ]);
    expect(questions.map(({ pass, origin, turn }) => [pass, origin.row, turn])).toEqual([
      ['stored', 1, 0],
      ['stored', 2, 0],
      ['shuffled', 1, 0],
      ['shuffled', 2, 0],
    ]);
    expect(questions[0]).toMatchObject({
      key: `${data[0]?.sha256.slice(0, 12)}:1`,
      set: 'bird',
      split: 'seen',
      imagePath: 'images/0.png',
      options: ['owl', 'hawk', 'kite'],
      label: 'owl',
      classes: ['owl', 'hawk', 'kite', 'gull'],
    });
    expect(questions[0]?.text).toContain("based on the options provided in ['owl', 'hawk', 'kite'], output");
  });

  it('have no options in the open world, but classes', async () => {
    const { questions } = await readQuestions(config([file], { openWorld: true }));
    expect(questions.map(({ pass, options, classes }) => [pass, options, classes.length])).toEqual([
      ['open', [], 4],
      ['open', [], 4],
    ]);
  });

  it('are drawn by the seed where so many rows are asked for', async () => {
    const many = writeRows(
      'many.jsonl',
      Array.from({ length: 50 }, (_, i) => [`a${i}`, `b${i}`]),
    );
    const drawn = async (seed: number): Promise<number[]> =>
      (await readQuestions(config([many], { rows: 10, seed, options: ['stored'] }))).questions.map(
        ({ origin }) => origin.row,
      );
    const first = await drawn(0);
    expect(first).toHaveLength(10);
    expect(first).toEqual([...new Set(first)].sort((a, b) => a - b));
    expect(await drawn(0)).toEqual(first);
    expect(await drawn(1)).not.toEqual(first);
  });

  it('of a file that is named twice, or with its folder, are asked once', async () => {
    const { questions } = await readQuestions(config([file, dirname(file), file], { options: ['stored'] }));
    expect(questions.map(({ origin }) => origin.row)).toEqual([1, 2]);
  });

  it('are put to pictures under a root of their own', async () => {
    const elsewhere = write(join(newFolder(), 'bird_unseen.jsonl'), [row('images/0.png', ['owl', 'kite'])]);
    const { questions } = await readQuestions(
      config([elsewhere], { images: dirname(file), options: ['stored'] }),
    );
    expect(questions[0]).toMatchObject({
      image: join(dirname(file), 'images/0.png'),
      imagePath: 'images/0.png',
    });
  });

  it('leave out, and list, rows whose pictures are missing', async () => {
    const rows = [row('images/0.png', ['owl', 'kite']), row('images/none.png', ['owl', 'kite'])];
    const holed = write(join(dirname(file), 'holed.jsonl'), rows);
    const { questions, missing } = await readQuestions(config([holed], { options: ['rotations'] }));
    expect(questions.map(({ origin, turn }) => [origin.row, turn])).toEqual([
      [1, 0],
      [1, 1],
    ]);
    const image = join(dirname(file), 'images/none.png');
    expect(missing).toEqual([{ file: holed, row: 2, image, reason: 'there is no such file' }]);
  });
});

describe('no questions come of', () => {
  const refused = async (
    given: EvalConfig,
    type: typeof DataError | typeof ConfigError,
    message: RegExp,
  ): Promise<void> => {
    const reading = readQuestions(given);
    await expect(reading).rejects.toThrow(type);
    await expect(reading).rejects.toThrow(message);
  };

  it('two files of one content, which would count twice', async () => {
    const file = writeRows('a.jsonl', [['owl', 'kite']]);
    const copy = join(dirname(file), 'b.jsonl');
    copyFileSync(file, copy);
    await refused(
      config([file, copy]),
      ConfigError,
      /a\.jsonl and .*b\.jsonl have the same content .* Name one/,
    );
  });

  it('rows without options in the closed world', async () => {
    const file = writeRows('a.jsonl', [['owl', 'kite']]);
    const rows = [{ ...(JSON.parse(readFileSync(file, 'utf8')) as Row), options: [] }];
    write(file, rows);
    await refused(config([file]), DataError, /a\.jsonl, row 1 has no options.* or ask by --open-world/);
    expect((await readQuestions(config([file], { openWorld: true }))).questions).toHaveLength(1);
  });

  it('a row whose options cannot be candidates', async () => {
    const file = writeRows('a.jsonl', [
      ['owl', 'kite'],
      ['owl', 'Owl'],
    ]);
    await refused(
      config([file], { options: ['classify'] }),
      ConfigError,
      /a\.jsonl, row 2: candidate 2, Owl, is the same as candidate 1, owl/,
    );
  });
});
