import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageSource } from '../../src/data/image/decode.ts';
import { readRows } from '../../src/data/readers/dataset.ts';
import { DEFAULT_OPTIONS, type SetPlan } from '../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../src/data/synthetic/write.ts';
import { runFiner1 } from '../support/cli.ts';

const BASE = fileURLToPath(new URL('../../models/tiny-base', import.meta.url));

let folder: string;
let birds: string;
let plan: SetPlan;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-prepare-'));
  birds = join(folder, 'birds');
  plan = await writeSyntheticSet(birds, { ...DEFAULT_OPTIONS, difficulty: 'easy', testPictures: 32 });
  // A picture of another size than all others.
  const odd = join(birds, plan.triplets[0]?.images[0] ?? '');
  writeFileSync(odd, await sharp(readFileSync(odd)).resize(112, 84).png().toBuffer());
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function sizeOf(image: ImageSource): Promise<string> {
  const { width, height } = await sharp(image).metadata();
  return `${width} x ${height}`;
}
const prepare = (...args: string[]) => runFiner1(['data', 'prepare', join(birds, 'images'), ...args]);

describe('finer1 data prepare', () => {
  it('makes triplets with look-alikes, test questions and candidates of a folder per class', async () => {
    const out = join(folder, 'rows');
    const { code, stdout } = await prepare('--out', out, '--model', BASE, '--question', 'what bird is this?');
    expect(code).toBe(0);
    expect(stdout).toBe(
      `${out}: 24 classes; 64 triplets of 64 training pictures; 32 + 32 test questions on seen and unseen classes; candidates.txt.\n`,
    );
    const triplets = await readRows(join(out, 'triplets.jsonl'), 'triplets');
    const sizes = new Set<string>();
    for (const { anchor, positive, negative, answer, options, problem } of triplets) {
      const [first, ...others] = await Promise.all([anchor, positive, negative].map(sizeOf));
      for (const other of others) expect(other).toBe(first);
      sizes.add(first as string);
      expect(problem).toBe(`what bird is this? options: ${options?.join(', ')}.`);
      expect(options).toContain(answer);
    }
    expect([...sizes].sort()).toEqual(['112 x 84', '84 x 84']);
    for (const split of ['seen', 'unseen']) {
      for (const { options, groundTruth } of await readRows(join(out, `eval_${split}.jsonl`), 'eval')) {
        expect(options).toHaveLength(4);
        expect(options).toContain(groundTruth);
      }
    }
    const candidates = readFileSync(join(out, 'candidates.txt'), 'utf8').trim().split('\n');
    expect(candidates).toHaveLength(24);
  });

  it('finds negatives that differ in one attribute, where two kinds differ in 2.1 of 4 on average', async () => {
    const names = new Map(plan.classes.map(({ name, attributes }) => [name, Object.values(attributes)]));
    const differences = (a: string, b: string): number =>
      (names.get(a) ?? []).filter((value, i) => value !== names.get(b)?.[i]).length;
    const triplets = await readRows(join(folder, 'rows', 'triplets.jsonl'), 'triplets');
    const found = triplets
      .filter(({ negative }) => String(negative).includes('/train/'))
      .map(({ answer, negative }) =>
        differences(answer, basename(dirname(String(negative))).replaceAll('_', ' ')),
      );
    expect(found.length).toBeGreaterThan(50);
    expect(found.reduce((sum, one) => sum + one, 0) / found.length).toBeLessThan(1.2);
  });

  it('leaves a folder that holds something as it is', async () => {
    const out = join(folder, 'full');
    mkdirSync(out);
    writeFileSync(join(out, 'mine.txt'), 'mine');
    const { code, stderr } = await prepare('--out', out, '--model', BASE);
    expect(code).toBe(1);
    expect(stderr).toContain(`The folder ${out} is not empty: it holds mine.txt.`);
    expect(readdirSync(out)).toEqual(['mine.txt']);
  });

  it('says what is wrong with an option', async () => {
    const { code, stderr } = await prepare('--out', join(folder, 'new'), '--model', BASE, '--shots', '1');
    expect(code).toBe(1);
    expect(stderr).toContain('--shots is 1; a whole number from 2 was expected.');
  });
});
