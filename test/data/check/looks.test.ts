import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isCopy, type Look, lookOf } from '../../../src/data/check/looks.ts';
import { DEFAULT_OPTIONS } from '../../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../../src/data/synthetic/write.ts';

describe('looks of drawn birds', () => {
  let folder: string;
  let files: string[];
  let looks: Look[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'finer1-looks-'));
    const set = join(folder, 'set');
    await writeSyntheticSet(set, { ...DEFAULT_OPTIONS, difficulty: 'easy', size: 112, testPictures: 8 });
    files = readdirSync(set, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.png'))
      .map((name) => join(set, name));
    looks = (await Promise.all(files.map((file) => lookOf(file)))).filter((look) => look !== undefined);
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it.each([
    [0.45, 60],
    [0.7, 50],
    [1.6, 80],
  ])('are those of copies at %f times the size, by JPEG of quality %i', async (scale, quality) => {
    expect(looks).toHaveLength(files.length);
    const missed: string[] = [];
    for (const [i, file] of files.entries()) {
      const side = Math.round(112 * scale);
      const copy = await sharp(file)
        .flatten({ background: 'white' })
        .resize(side, side)
        .jpeg({ quality })
        .toBuffer();
      const look = await lookOf(copy);
      if (look === undefined || !isCopy(looks[i] as Look, look)) missed.push(file);
    }
    expect(missed).toEqual([]);
  });

  it('are not those of other birds', () => {
    const alike = looks.flatMap((a, i) => looks.slice(0, i).filter((b) => isCopy(a, b)));
    expect([looks.length, alike.length]).toEqual([80, 0]);
  });
});

describe('a picture of one colour', () => {
  it('has no look: it would be a copy of any other', async () => {
    const plain = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#777' } })
      .jpeg()
      .toBuffer();
    expect(await lookOf(plain)).toBeUndefined();
  });
});
