import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readRows } from '../../../src/data/readers/dataset.ts';

const RELEASED = fileURLToPath(new URL('../../../../shared/reference/fine-r1', import.meta.url));

describe.skipIf(!existsSync(RELEASED))("the paper's released files (../shared/reference/fine-r1)", () => {
  it('of stage 1 have 404 rows of one picture each', async () => {
    const rows = await readRows(join(RELEASED, 'stage1-cot.json'), 'chat');
    expect(rows).toHaveLength(404);
    expect(rows.filter(({ images }) => images.length === 1)).toHaveLength(404);
  });

  it.each([
    ['bird', 3483, 2311],
    ['car', 4811, 3230],
    ['dog', 5276, 3304],
    ['flower', 4028, 2121],
  ])('of tests have all their rows: %s', async (family, seen, unseen) => {
    for (const [split, count] of [
      ['seen', seen],
      ['unseen', unseen],
    ] as const) {
      const rows = await readRows(join(RELEASED, `eval/${family}_${split}.jsonl`), 'eval');
      expect(rows).toHaveLength(count);
      expect(rows.every((row) => row.split === split && row.options.length === 4)).toBe(true);
    }
  });
});
