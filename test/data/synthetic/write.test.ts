import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/common/errors.ts';
import { parseImageConfig, RELEASED } from '../../../src/config/image.ts';
import { processImage } from '../../../src/data/image/process.ts';
import {
  DEFAULT_OPTIONS,
  type EvalLine,
  type SftRow,
  type TripletLine,
} from '../../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../../src/data/synthetic/write.ts';

const OPTIONS = { ...DEFAULT_OPTIONS, difficulty: 'easy', testPictures: 40 } as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-synthetic-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const filesOf = (set: string): string[] =>
  readdirSync(set, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(set, name)).isFile())
    .sort();
const hashOf = (set: string): string => {
  const hash = createHash('sha256');
  for (const name of filesOf(set)) hash.update(name).update(readFileSync(join(set, name)));
  return hash.digest('hex');
};
const linesOf = <T>(path: string): T[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

describe('a written synthetic set', () => {
  let set: string;
  beforeAll(async () => {
    set = join(folder, 'new', 'set');
    await writeSyntheticSet(set, OPTIONS);
  });

  it('is the same in every byte for the same options, and another for another seed', async () => {
    const [again, other] = [join(folder, 'again'), join(folder, 'other')];
    mkdirSync(again); // an empty folder will do
    await writeSyntheticSet(again, OPTIONS);
    await writeSyntheticSet(other, { ...OPTIONS, seed: 1 });
    expect(hashOf(again)).toBe(hashOf(set));
    expect(hashOf(other)).not.toBe(hashOf(set));
  });

  it('holds the files that it promises, and every picture that they name', () => {
    const files = filesOf(set);
    expect(files.filter((name) => !name.endsWith('.png'))).toEqual([
      'README.md',
      'classes.json',
      'eval_seen.jsonl',
      'eval_unseen.jsonl',
      'images/seen.txt',
      'images/unseen.txt',
      'sft.json',
      'triplets.jsonl',
    ]);
    const sft = JSON.parse(readFileSync(join(set, 'sft.json'), 'utf8')) as SftRow[];
    const triplets = linesOf<TripletLine>(join(set, 'triplets.jsonl'));
    const tests = ['eval_seen.jsonl', 'eval_unseen.jsonl'].map((name) => linesOf<EvalLine>(join(set, name)));
    expect([sft.length, triplets.length, ...tests.map((rows) => rows.length)]).toEqual([64, 64, 40, 40]);
    const named = [
      ...sft.flatMap(({ images }) => images),
      ...triplets.flatMap(({ images, image_noisy, image_aug }) => [...images, ...image_noisy, ...image_aug]),
      ...tests.flat().map(({ image_path }) => image_path),
    ];
    expect([...new Set(named)].sort()).toEqual(files.filter((name) => name.endsWith('.png')));
  });

  it('lists the kinds by their folders', () => {
    const [seen, unseen] = ['seen.txt', 'unseen.txt'].map((name) =>
      readFileSync(join(set, 'images', name), 'utf8')
        .trimEnd()
        .split('\n')
        .sort(),
    );
    expect(seen).toEqual(readdirSync(join(set, 'images/train')).sort());
    expect([...(seen ?? []), ...(unseen ?? [])].sort()).toEqual(readdirSync(join(set, 'images/test')).sort());
  });

  it('says how it was made', () => {
    const readme = readFileSync(join(set, 'README.md'), 'utf8');
    expect(readme).toContain(
      'finer1 data synthetic --out DIR --seed 0 --difficulty easy --size 84 --confusion 0.7 --test-pictures 40',
    );
  });

  it('has pictures of 9 image tokens, none like another', async () => {
    const config = parseImageConfig({}, 'preprocessor_config.json');
    const pictures = filesOf(set).filter((name) => name.endsWith('.png'));
    const hashes = new Set<string>();
    for (const name of pictures) {
      const { pixelValues, gridThw } = await processImage(join(set, name), config, RELEASED);
      expect(gridThw).toEqual([1, 6, 6]);
      hashes.add(createHash('sha256').update(pixelValues).digest('hex'));
    }
    expect(hashes.size).toBe(pictures.length);
  });
});

describe('what is there before', () => {
  it('is never written over', async () => {
    const full = join(folder, 'full');
    mkdirSync(full);
    writeFileSync(join(full, 'mine.txt'), 'mine');
    await expect(writeSyntheticSet(full, OPTIONS)).rejects.toThrow(
      new ConfigError(
        `The folder ${full} is not empty: it holds mine.txt. A set is never written over other files: ` +
          'name an empty or a new folder.',
      ),
    );
    expect(readdirSync(full)).toEqual(['mine.txt']);
    const file = join(full, 'mine.txt');
    await expect(writeSyntheticSet(file, OPTIONS)).rejects.toThrow(/mine\.txt cannot be used: ENOTDIR/);
    await expect(writeSyntheticSet(join(file, 'set'), OPTIONS)).rejects.toThrow(ConfigError);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  it('stays alone where drawing is stopped', async () => {
    const place = join(folder, 'stopped');
    mkdirSync(place);
    const controller = new AbortController();
    const drawing = writeSyntheticSet(join(place, 'set'), OPTIONS, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stopped by a test')),
    });
    await expect(drawing).rejects.toThrow('stopped by a test');
    expect(readdirSync(place)).toEqual([]);
  });

  it.each([
    ['seed', 1.5, /The seed is 1\.5; a whole number from 0 to 2\^32 - 1 was expected/],
    ['seed', -1, /The seed is -1/],
    ['size', 27, /The size is 27; a whole number of pixels from 28 to 1024 was expected/],
    ['size', Number.NaN, /The size is NaN/],
    ['confusion', 1.01, /The confusion is 1\.01; a probability from 0 to 1 was expected/],
    ['testPictures', 0, /The number of test pictures is 0/],
  ] as const)('is not touched where the %s is %d', async (name, value, message) => {
    const out = join(folder, 'wrong');
    await expect(writeSyntheticSet(out, { ...OPTIONS, [name]: value })).rejects.toThrow(message);
    expect(readdirSync(folder)).not.toContain('wrong');
  });
});
