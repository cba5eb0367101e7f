import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom, integerBelow } from '../../../src/common/random.ts';
import { parseImageConfig, PICTURES } from '../../../src/config/image.ts';
import { checkData, type CheckOptions, type CheckReport } from '../../../src/data/check/check.ts';
import { formatReport } from '../../../src/data/check/report.ts';
import { readUnseen } from '../../../src/data/check/unseen.ts';
import { openData } from '../../../src/data/readers/dataset.ts';
import { loadTokenizer, type Tokenizer } from '../../../src/data/text/tokenizer.ts';
import { makeModelFolder } from '../../support/modelFolder.ts';

let folder: string;
let model: string;
let tokenizer: Tokenizer;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-check-'));
  model = makeModelFolder();
  tokenizer = loadTokenizer(model);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(model, { recursive: true });
});

const options: CheckOptions = {
  imageConfig: parseImageConfig({}, 'preprocessor_config.json'),
  quirks: PICTURES,
  cutoffTokens: 4096,
};
async function check(
  files: Record<string, unknown[]>,
  more: Partial<CheckOptions> = {},
): Promise<CheckReport> {
  const paths = Object.entries(files).map(([name, rows]) => {
    const path = join(folder, name);
    writeFileSync(path, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n'));
    return path;
  });
  const opened = await Promise.all(paths.map((path) => openData(path)));
  return await checkData(
    { datasets: opened.flatMap(({ datasets }) => datasets), ignored: [] },
    { ...options, ...more },
  );
}
/* Code, severity and count of each problem. */
const found = ({ problems }: CheckReport): string[] =>
  problems.map(({ severity, code, count }) => `${severity} ${code} ${count}`);
const whereOf = ({ problems }: CheckReport, code: string): string[] =>
  problems.find((problem) => problem.code === code)?.where ?? [];

/* A picture of soft spots that no other one looks like; the same for the same seed, whatever its size and form. */
async function draw(
  name: string,
  seed: number,
  { width = 112, height = 56, quality = 90 } = {},
): Promise<string> {
  const random = createRandom(seed, 'spots');
  const cells = Array.from({ length: 64 }, (_, i) => {
    const [red, green, blue] = [0, 1, 2].map(() => integerBelow(random, 256));
    return `<rect x="${i % 8}" y="${Math.floor(i / 8)}" width="1" height="1" fill="rgb(${red},${green},${blue})"/>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8" width="224" height="224">${cells.join('')}</svg>`;
  const spots = await sharp(Buffer.from(svg)).flatten().blur(12).png().toBuffer();
  await sharp(spots).resize(width, height, { fit: 'fill' }).jpeg({ quality }).toFile(join(folder, name));
  return name;
}
const chat = (image: string, label: string, thought = 'Its wing is barred.'): object => ({
  messages: [
    { role: 'user', content: '<image>Which bird?' },
    { role: 'assistant', content: `<think>${thought}</think><answer>${label}</answer>` },
  ],
  images: [image],
});
const question = (image: string, truth: string, names: string[]): object => ({
  image_path: image,
  question: 'Which bird?',
  options: names,
  ground_truth: truth,
});

describe('checked data', () => {
  it('that is right has no problems, and its tokens are counted', async () => {
    const [a, b] = [await draw('a.jpg', 1), await draw('b.jpg', 2, { width: 56, height: 56 })];
    const report = await check({ 'sft.jsonl': [chat(a, 'Ovenbird'), chat(b, 'Gadwall')] }, { tokenizer });
    // In bytes, with a token for each special one.
    const prompt = 'system\nYou are a helpful assistant.\nuser\nWhich bird?\nassistant\n'.length + 7;
    const answer = '<think>Its wing is barred.</think><answer>Ovenbird</answer>\n'.length + 1;
    const [first, second] = [prompt + answer, prompt + answer - 1];
    expect(report).toEqual({
      format: 'sharegpt-jsonl',
      rows: 2,
      classes: 2,
      images: 2,
      ok: true,
      datasets: [
        { path: join(folder, 'sft.jsonl'), kind: 'chat', format: 'sharegpt-jsonl', rows: 2, classes: 2 },
      ],
      tokens: {
        text: { total: first + second, min: second, median: second, p95: second, max: first },
        images: { total: 8 + 4, min: 4, median: 4, p95: 4, max: 8 },
        histogram: expect.arrayContaining([]) as unknown,
        learnt: 2 * answer - 1,
        cutoff: 4096,
      },
      problems: [],
    });
    const { histogram } = report.tokens;
    expect(histogram.reduce((sum, { rows }) => sum + rows, 0)).toBe(2);
    expect(histogram[0]?.from).toBeLessThanOrEqual(second + 4);
    expect(histogram.at(-1)?.to).toBeGreaterThan(first + 8);
    expect(formatReport(report)).toContain('No errors: it can be used.');
  });

  it('names rows that cannot be read, and pictures that are missing or broken', async () => {
    const a = await draw('a.jpg', 1);
    writeFileSync(join(folder, 'text.jpg'), 'not a picture');
    const cut = await sharp(join(folder, a)).toBuffer();
    writeFileSync(join(folder, 'cut.jpg'), cut.subarray(0, cut.length / 2));
    const report = await check({
      'sft.jsonl': [
        chat(a, 'Ovenbird'),
        '{"messages"',
        { ...chat(a, 'x'), images: [] },
        chat('gone.jpg', 'Gadwall'),
        chat('text.jpg', 'Gadwall'),
        chat('cut.jpg', 'Gadwall'),
      ],
    });
    expect(report.ok).toBe(false);
    expect(found(report)).toEqual(['error bad-row 2', 'error missing-image 1', 'error broken-image 2']);
    expect(whereOf(report, 'bad-row')[0]).toContain('sft.jsonl, row 2 is no JSON');
    expect(whereOf(report, 'missing-image')).toEqual([join(folder, 'gone.jpg')]);
    expect(whereOf(report, 'broken-image')[0]).toMatch(/text\.jpg \(.*unsupported image format/);
    expect(whereOf(report, 'broken-image')[1]).toMatch(/cut\.jpg \(.+\)/);
    expect(formatReport(report)).toContain('error missing-image: 1 pictures that are not there\n');
  });

  it('names rows that are too long, and is wrong only where none is left', async () => {
    const [a, b] = [await draw('a.jpg', 1), await draw('b.jpg', 2, { width: 560, height: 560 })];
    const rows = [chat(a, 'Ovenbird'), chat(b, 'Gadwall')];
    const some = await check({ 'sft.jsonl': rows }, { tokenizer, cutoffTokens: 300 });
    expect(found(some)).toEqual(['warning too-long 1']);
    expect(whereOf(some, 'too-long')[0]).toMatch(
      /sft\.jsonl, row 2 \((\d+) tokens: \d+ of text, 400 of pictures; the limit is 300\)/,
    );
    const none = await check({ 'sft.jsonl': rows }, { tokenizer, cutoffTokens: 100 });
    expect(found(none)).toEqual(['error nothing-fits 1', 'warning too-long 2']);
  });

  it('names pictures for training that look like one for tests, also at another size', async () => {
    const [a, b] = [await draw('a.jpg', 1), await draw('b.jpg', 2)];
    const again = await draw('again.jpg', 1, { width: 300, height: 150, quality: 60 });
    const other = await draw('other.jpg', 3);
    const tests = [a, again, other].map((image) => question(image, 'Ovenbird', ['Ovenbird', 'Gadwall']));
    const report = await check({
      'sft.jsonl': [chat(a, 'Ovenbird'), chat(b, 'Gadwall')],
      'test.jsonl': tests,
    });
    expect(found(report)).toEqual(['warning duplicate-across-splits 2']);
    expect(whereOf(report, 'duplicate-across-splits')).toEqual([
      join(folder, a),
      `${join(folder, a)} and ${join(folder, again)}`,
    ]);
    expect(report).toMatchObject({ rows: 5, classes: 2, images: 4 });
  });

  it('names training text that gives unseen sub-categories away', async () => {
    const [a, b] = [await draw('a.jpg', 1), await draw('b.jpg', 2)];
    const rows = [chat(a, 'Ovenbird', "Not a Brewer's Sparrow, nor an Ani."), chat(a, 'Ovenbird')];
    const report = await check(
      {
        'sft.jsonl': rows,
        'x_unseen.jsonl': [question(b, 'Brewer Sparrow', ['Brewer Sparrow', 'Ovenbird'])],
      },
      { unseen: ['Ani'] },
    );
    expect(found(report)).toEqual(['warning unseen-in-text 1']);
    expect(whereOf(report, 'unseen-in-text')).toEqual([
      `${join(folder, 'sft.jsonl')}, row 1 (Ani, Brewer Sparrow)`,
    ]);
  });

  it('names sub-categories within others, and options that cannot be told apart', async () => {
    const [a, b] = [await draw('a.jpg', 1), await draw('b.jpg', 2)];
    const report = await check({
      'sft.jsonl': [chat(a, 'petunia'), chat(a, 'mexican petunia')],
      'test.jsonl': [
        question(b, 'petunia', ['petunia', 'mexican petunia']),
        question(b, 'mexican petunia', ['petunia', 'mexican petunia']),
        question(b, 'rose', ['rose', 'Rose', 'gaura']),
      ],
    });
    expect(found(report)).toEqual([
      'warning truth-in-option 1',
      'warning label-in-label 1',
      'warning repeated-option 1',
    ]);
    expect(whereOf(report, 'truth-in-option')[0]).toContain('row 1 ("mexican petunia" contains "petunia")');
  });

  it('looks at triplets, of which each picture has a prompt of its own', async () => {
    const [a, b] = [await draw('a.jpg', 1), await draw('b.jpg', 2, { width: 560, height: 560 })];
    const triplet = { images: a, problem: 'Which bird?', answer: 'Ovenbird', image_noisy: a, image_aug: b };
    const report = await check({ 'tapo.jsonl': [triplet] });
    expect(found(report)).toEqual(['warning same-picture 1', 'warning unlike-sizes 1']);
    expect(report.tokens.images?.max).toBe(400);
  });

  it('refuses training pictures of classes that are listed as unseen', async () => {
    const set = join(folder, 'set');
    for (const [i, name] of ['Akita', 'Boxer'].entries()) {
      mkdirSync(join(set, 'train', name), { recursive: true });
      copyFileSync(join(folder, await draw(`${i}.jpg`, i)), join(set, 'train', name, '1.jpg'));
    }
    writeFileSync(join(set, 'unseen.txt'), 'boxer\n');
    const report = await checkData(await openData(set), options);
    expect(found(report)).toEqual(['error unseen-trained 1']);
    expect(whereOf(report, 'unseen-trained')[0]).toContain('Boxer');
  });
});

describe('names of unseen sub-categories', () => {
  it('come from a text file, or from the right answers of test questions', async () => {
    const [text, jsonl] = [join(folder, 'unseen.txt'), join(folder, 'unseen.jsonl')];
    writeFileSync(text, 'Ani\n\nBrewer_Sparrow\r\nAni\n');
    writeFileSync(jsonl, JSON.stringify(question('a', 'Ani', ['Ani', 'Ovenbird'])));
    expect(await readUnseen(text)).toEqual(['Ani', 'Brewer Sparrow']);
    expect(await readUnseen(jsonl)).toEqual(['Ani']);
    writeFileSync(text, '\n');
    await expect(readUnseen(text)).rejects.toThrow(`${text} names no sub-category`);
    await expect(readUnseen(join(folder, 'gone'))).rejects.toThrow('gone is not there');
  });
});

const RELEASED = fileURLToPath(new URL('../../../../shared/reference/fine-r1', import.meta.url));

describe.skipIf(!existsSync(RELEASED))("the paper's released files (../shared/reference/fine-r1)", () => {
  it('name unseen sub-categories in 96 of 404 rationales, and have 381 test rows with a name in another', async () => {
    const opened = await Promise.all(
      ['stage1-cot.json', 'eval'].map((name) => openData(join(RELEASED, name))),
    );
    const report = await checkData(
      { datasets: opened.flatMap(({ datasets }) => datasets), ignored: [] },
      options,
    );
    expect(report).toMatchObject({ rows: 28_968, images: 28_968, ok: false });
    expect(found(report)).toEqual([
      'error missing-image 28968', // the pictures are not part of them
      'warning unseen-in-text 96',
      'warning truth-in-option 381',
      'warning label-in-label 3',
    ]);
  });
});
