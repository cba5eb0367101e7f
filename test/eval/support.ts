import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResultRow } from '../../src/eval/results.ts';
import { birdNames, drawPictures } from '../support/birds.ts';

/** A row of results with what is said of it; else that of a right answer. */
export const resultRow = (fields: Partial<ResultRow> & { key: string }): ResultRow => ({
  pass: 'stored',
  turn: 0,
  set: 'bird',
  options: ['a', 'b'],
  label: 'a',
  named: ['a'],
  released: true,
  strict: true,
  wellFormed: true,
  truncated: false,
  ...fields,
});

/** Files of test questions, and rows whose pictures cannot be used. */
export interface TestSet {
  folder: string;
  /** four rows, of which the third has a broken picture */
  seen: string;
  /** three rows, of which the first has none */
  unseen: string;
}

/** Draws birds, and writes questions about them. */
export async function makeTestSet(): Promise<TestSet> {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-questions-'));
  const names = birdNames(8);
  const pictures = await drawPictures(7);
  const lines = (split: string, from: number, to: number): string =>
    pictures
      .slice(from, to)
      .map((picture, i) => {
        const path = `images/${split}_${i + 1}.png`;
        if (path !== 'images/unseen_1.png') {
          const isBroken = path === 'images/seen_3.png';
          writeFileSync(join(folder, path), isBroken ? 'no picture' : picture);
        }
        const options = names.slice(i, i + 4);
        return `${JSON.stringify({ image_path: path, question: 'what bird is this?', options, ground_truth: options[0] })}\n`;
      })
      .join('');
  mkdirSync(join(folder, 'images'));
  const [seen, unseen] = [join(folder, 'bird_seen.jsonl'), join(folder, 'bird_unseen.jsonl')];
  writeFileSync(seen, lines('seen', 0, 4));
  writeFileSync(unseen, lines('unseen', 4, 7));
  return { folder, seen, unseen };
}
