import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { readRows } from '../../src/data/readers/dataset.ts';
import type { EvalRow } from '../../src/data/rows.ts';
import { arrangeOptions } from '../../src/eval/options.ts';
import { promptOf } from '../../src/eval/prompts.ts';
import { coarseName, judge, type Truth, type Verdict } from '../../src/eval/rules.ts';

const FOLDER = fileURLToPath(new URL('../../../shared/reference/fine-r1/eval', import.meta.url));

/* Rows of a set, and what the open world takes its pictures to show. */
const SETS = {
  bird: [5794, 'object'],
  car: [8041, 'car'],
  dog: [8580, 'object'],
  flower: [6149, 'flower'],
} as const;
type SetName = keyof typeof SETS;

describe.skipIf(!existsSync(FOLDER))(
  "the paper's released test questions (../shared/reference/fine-r1/eval)",
  () => {
    const rows = {} as Record<SetName, EvalRow[]>;
    const all = (): EvalRow[] => Object.values(rows).flat();
    beforeAll(async () => {
      for (const set of Object.keys(SETS) as SetName[]) {
        rows[set] = (
          await Promise.all(
            ['seen', 'unseen'].map((split) => readRows(join(FOLDER, `${set}_${split}.jsonl`), 'eval')),
          )
        ).flat();
      }
    });

    it('are all read: each file there is one of these sets, each row has four options', () => {
      const files = (Object.keys(SETS) as SetName[]).flatMap((set) => [
        `${set}_seen.jsonl`,
        `${set}_unseen.jsonl`,
      ]);
      expect(
        readdirSync(FOLDER)
          .filter((name) => name.endsWith('.jsonl'))
          .sort(),
      ).toEqual(files.sort());
      for (const [set, [count]] of Object.entries(SETS)) expect(rows[set as SetName]).toHaveLength(count);
      expect(all().every(({ options }) => new Set(options).size === 4)).toBe(true);
    });

    it('have the truth first in all 28,564 rows, and evenly in all places once they are shuffled', () => {
      expect(all().filter(({ options, groundTruth }) => options[0] === groundTruth)).toHaveLength(28564);
      const places = [0, 0, 0, 0];
      for (const { origin, options, groundTruth } of all()) {
        const [order = []] = arrangeOptions(options, 'shuffled', 0, { file: origin.file, row: origin.row });
        (places[order.indexOf(groundTruth)] as number)++;
      }
      // 7,141 expected in each, with a standard deviation of 73.
      for (const count of places) expect(Math.abs(count - 7141)).toBeLessThan(4 * 73);
    });

    it('are put as the released evaluation puts them', () => {
      const [row] = rows.bird as [EvalRow];
      expect(promptOf('released', row.question, row.options)).toBe(
        "Given the question: Do you know what bird this is?, based on the options provided in ['Black Footed Albatross', " +
          "'Heermann Gull', 'Sooty Albatross', 'Laysan Albatross'], output the thinking process in <think> </think> and " +
          'final choice in <answer> </answer> tags. The response format should be: <think>...</think> <answer>choice</answer>.',
      );
    });

    it.each(Object.entries(SETS))('show, as the open world sees %s: %s', (set, [, coarse]) => {
      for (const { image } of rows[set as SetName]) {
        expect(coarseName(String(image).slice(FOLDER.length + 1))).toBe(coarse);
      }
    });

    it('are strictly right by the truth alone; the released rule lets a wrong option pass in 381 rows', () => {
      let passed = 0;
      for (const of of Object.values(rows)) {
        const classes = [...new Set(of.flatMap(({ options }) => options))];
        // Each option of each row is answered; the same option for the same truth is judged once.
        const verdicts = new Map<string, Verdict>();
        for (const { options, groundTruth: label } of of) {
          for (const option of options) {
            const key = `${label}\n${option}`;
            const truth: Truth = { label, classes, world: 'closed', imagePath: '' };
            const verdict = verdicts.get(key) ?? judge(`<answer>${option}</answer>`, truth);
            verdicts.set(key, verdict);
            if (option !== label && verdict.released) passed++;
          }
        }
        for (const [key, { named, released, strict }] of verdicts) {
          const [label, option] = key.split('\n');
          expect(named, key).toEqual([option]);
          expect(strict, key).toBe(option === label);
          if (option === label) expect(released, key).toBe(true);
        }
      }
      expect(passed).toBe(381);
    });
  },
);
