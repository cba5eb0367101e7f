import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClassifyRecord } from '../../src/classify/record.ts';
import { birdNames, drawPictures, TINY_BASE } from '../support/birds.ts';
import { runFiner1 } from '../support/cli.ts';

const CANDIDATES = birdNames(3);
const folder = mkdtempSync(join(tmpdir(), 'finer1-classify-'));
const pictures = join(folder, 'pictures');
const names = join(folder, 'names.txt');

const TOKENS = ['--max-new-tokens', '12'];
const classify = (more: readonly string[], stdin?: Uint8Array): ReturnType<typeof runFiner1> =>
  runFiner1(
    ['classify', '--model', TINY_BASE, ...(more.includes('--max-new-tokens') ? [] : TOKENS), ...more],
    {},
    undefined,
    stdin,
  );
const recordsIn = (stdout: string): ClassifyRecord[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ClassifyRecord);

beforeAll(async () => {
  mkdirSync(join(pictures, 'deeper'), { recursive: true });
  mkdirSync(join(folder, 'none'));
  const [first = '', second = ''] = await drawPictures(2);
  writeFileSync(join(pictures, 'b.png'), first);
  writeFileSync(join(pictures, 'a.PNG'), second);
  writeFileSync(join(pictures, 'broken.jpg'), 'no picture');
  writeFileSync(join(pictures, 'notes.txt'), 'no picture either');
  writeFileSync(names, CANDIDATES.join('\n'));
});

describe('finer1 classify', () => {
  it('names each picture of a folder by one candidate; a broken one is named at the end, and fails it', async () => {
    const { code, stdout, stderr } = await classify(['--image', pictures, '--candidates', names]);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(2);
    const oneOf = CANDIDATES.join('|');
    const line = new RegExp(`^(.*): (${oneOf}) \\(\\d+\\.\\d %; next: (${oneOf}), \\d+\\.\\d %\\)$`);
    expect(lines.map((text) => line.exec(text)?.[1])).toEqual([
      join(pictures, 'a.PNG'),
      join(pictures, 'b.png'),
    ]);
    expect(stderr).toMatch(/a\.PNG: cut at 12 tokens, before the answer; give more with --max-new-tokens/);
    expect(stderr).toMatch(/broken\.jpg: .* cannot be used as a picture/);
    expect(stderr).toContain(
      '1 of 3 pictures cannot be used; they are named above. Replace them, or take them out.',
    );
    expect(code).toBe(1);
  });

  it('prints the same record each time, from a file or from stdin', async () => {
    const asked = ['--candidates', CANDIDATES.join(','), '--question', 'what bird is this?', '--json'];
    const file = join(pictures, 'b.png');
    const [first, second] = [
      await classify(['--image', file, ...asked]),
      await classify(['--image', file, ...asked]),
    ];
    expect([first.code, second.stdout]).toEqual([0, first.stdout]);
    const [record] = recordsIn(first.stdout) as [ClassifyRecord];
    expect(CANDIDATES).toContain(record.label);
    expect(record).toMatchObject({
      refused: false,
      image: { path: file, size: readFileSync(file).length },
      candidates: CANDIDATES,
      question: 'what bird is this?',
      promptVersion: 'classify-1',
      seed: null,
      truncated: true,
      maxNewTokens: 12,
    });
    expect(Object.keys(record.model.weights)).toHaveLength(3);
    const fromStdin = await classify(['--image', '-', ...asked], readFileSync(file));
    expect(recordsIn(fromStdin.stdout)).toEqual([{ ...record, image: { ...record.image, path: '-' } }]);
  });

  it('refuses below a probability, and in the open where the model answers nothing', async () => {
    const file = join(pictures, 'b.png');
    const below = await classify(['--image', file, '--candidates', names, '--min-probability', '1']);
    expect(below.stdout).toMatch(
      /b\.png: refused \(.*, (?!100\.0+ %)\d+\.\d+ %, is below 100\.0+ %; next: .*, \d+\.\d %\)\n$/,
    );
    expect(below.code).toBe(0);
    const open = await classify(['--image', file, '--open', '--question', 'what bird is this?']);
    expect(open.stdout).toBe(`${file}: refused (the response has no answer)\n`);
  });

  it.each([
    [
      'nothing to choose from',
      [],
      /There is nothing to choose from\. Give --candidates a,b,c, a file of them, or --open/,
    ],
    [
      'candidates in the open',
      ['--open', '--candidates', 'a,b'],
      /--open asks for any name, but --candidates gives/,
    ],
    [
      'a single candidate',
      ['--candidates', 'owl'],
      /--candidates owl: there is no such file, and a single name leaves/,
    ],
    ['a candidate twice', ['--candidates', 'owl,Owl'], /candidate 2, Owl, is the same as candidate 1, owl/],
    [
      'a probability over 1',
      ['--candidates', 'a,b', '--min-probability', '2'],
      /minProbability is 2; a number from 0 to 1/,
    ],
    [
      'no number',
      ['--candidates', 'a,b', '--min-probability', 'high'],
      /minProbability is NaN; a number from 0 to 1/,
    ],
    [
      'a probability in the open',
      ['--open', '--min-probability', '0.5'],
      /without candidates there are no probabilities/,
    ],
    [
      'no room to reason',
      ['--candidates', 'a,b', '--max-new-tokens', '0'],
      /maxNewTokens is 0; a whole number above 0/,
    ],
  ])('cannot do with %s', async (_, more, message) => {
    const { code, stdout, stderr } = await classify(['--image', join(pictures, 'b.png'), ...more]);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at '); // a stack
    expect([code, stdout]).toEqual([1, '']);
  });

  it.each([
    [
      'a picture that is not there',
      '/none.jpg',
      /There is no picture \/none\.jpg\. Give a picture, a folder/,
    ],
    [
      'a folder without pictures',
      join(folder, 'none'),
      /none holds no pictures \(\.jpg, .*\); folders in it are not/,
    ],
    ['a broken picture', join(pictures, 'broken.jpg'), /broken\.jpg: .* cannot be used as a picture/],
    ['nothing on stdin', '-', /-: a picture of 0 bytes is empty/],
  ])('cannot name %s', async (_, image, message) => {
    const { code, stdout, stderr } = await classify(['--image', image, '--candidates', 'a,b']);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at ');
    expect([code, stdout]).toEqual([1, '']);
  });
});
