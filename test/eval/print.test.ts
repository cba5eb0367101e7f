import { describe, expect, it } from 'vitest';
import { compareWith } from '../../src/eval/compare.ts';
import { formatResults } from '../../src/eval/print.ts';
import { type ResultRow, type Results, sumUp } from '../../src/eval/results.ts';
import { resultRow } from './support.ts';

const wrong = { named: ['b'], strict: false, released: false };
const resultsOf = (rows: ResultRow[], maxRisk?: number, leftOut: Results['leftOut'] = []): Results =>
  sumUp({}, rows, leftOut, { seed: 0, maxRisk });

/* Lines without the spaces that columns are made of. */
const linesOf = (text: string): string[] =>
  text.split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));

describe('results in words', () => {
  it('have both rules side by side, places, the worst classes and confusions, and the two protocols at the end', () => {
    const rows = [
      resultRow({ key: '1' }),
      resultRow({ key: '1', pass: 'shuffled', options: ['b', 'a'] }),
      resultRow({ key: '2' }),
      resultRow({ key: '2', pass: 'shuffled', ...wrong }),
    ];
    const lines = linesOf(formatResults(resultsOf(rows)));
    expect(lines).toEqual([
      'options as stored',
      'rows | released rule | strict rule | right form | cut',
      'all | 2 | 100.0 (100.0 to 100.0) | 100.0 (100.0 to 100.0) | 100.0 | 0.0',
      '',
      'by place of the option',
      'place | truths | strictly right | share of answers',
      '1 | 2 | 100.0 | 100.0',
      '2 | 0 | 0.0',
      '',
      'options shuffled',
      'rows | released rule | strict rule | right form | cut',
      'all | 2 | 50.0 (0.0 to 100.0) | 50.0 (0.0 to 100.0) | 100.0 | 0.0',
      '',
      'by place of the option',
      'place | truths | strictly right | share of answers',
      '1 | 1 | 0.0 | 0.0',
      '2 | 1 | 100.0 | 100.0',
      '',
      'worst classes, by the strict rule',
      'bird: a | 2 | 50.0',
      '',
      'most frequent confusions',
      'a | -> b | 1',
      '',
      'released | 100.0 (100.0 to 100.0) (options as stored; the label occurs in the answer)',
      'strict | 50.0 (0.0 to 100.0) (options shuffled; exactly one class is named, the right one)',
      '',
    ]);
  });

  it('say what was not measured, and what is left out', () => {
    const leftOut = [{ file: 'a.jsonl', row: 1, image: 'a.png', reason: 'there is no such file' }];
    const rotated = linesOf(
      formatResults(resultsOf([resultRow({ key: '1', pass: 'rotations' })], undefined, leftOut)),
    );
    expect(rotated.slice(-4, -1)).toEqual([
      'released | not measured: it asks with the options as stored',
      'strict | 100.0 (100.0 to 100.0) (options in all rotations; exactly one class is named, the right one)',
      '1 rows left out: their pictures cannot be used',
    ]);
    const open = linesOf(formatResults(resultsOf([resultRow({ key: '1', pass: 'open', options: [] })])));
    expect(open.slice(-4, -1)).toEqual([
      'released | 100.0 (100.0 to 100.0) (open world; the label occurs in the answer)',
      'similarity not measured: give a SigLIP by --siglip',
      'strict | 100.0 (100.0 to 100.0) (open world; exactly one class is named, the right one)',
    ]);
  });

  it('ask whether the model knows the prompt, where the right form is rare', () => {
    const rows = [1, 2, 3].map((i) => resultRow({ key: String(i), wellFormed: i === 1, ...wrong }));
    const lines = linesOf(formatResults(sumUp({ prompt: 'released' }, rows, [], { seed: 0 })));
    expect(lines.at(-2)).toBe(
      'Only 33.3 % of the responses have the right form: was the model trained on other prompts? ' +
        'This asked with --prompt released; try --prompt plain.',
    );
  });

  it('say what refusing gives, and which probability keeps a risk', () => {
    const rows = Array.from({ length: 20 }, (_, i) =>
      resultRow({ key: String(i), pass: 'classify', probability: (i + 1) / 20, ...(i < 4 && wrong) }),
    );
    const text = formatResults(resultsOf(rows, 0.05));
    const lines = linesOf(text);
    const at = lines.indexOf('refusing what is less probable (finer1 classify --min-probability)');
    expect(lines.slice(at + 1, at + 5)).toEqual([
      'answered | wrong of these | --min-probability',
      '100.0 | 20.0 | 0.05',
      '95.0 | 15.8 | 0.1',
      '90.0 | 11.1 | 0.15',
    ]);
    expect(text).toContain(
      'at most 5.0 % wrong: --min-probability 0.25 answers 80.0 %, wrong of these 0.0 (0.0 to 0.0)\n' +
        '  chosen on half of the rows, and tried on the other half, it answers ',
    );
    const never = formatResults(
      resultsOf(
        rows.map((row) => ({ ...row, ...wrong })),
        0.05,
      ),
    );
    expect(never).toContain('at most 5.0 % wrong: no --min-probability keeps it');
  });

  it('have the difference from another evaluation', () => {
    const [before, after] = [[resultRow({ key: '1', ...wrong })], [resultRow({ key: '1' })]].map((rows) =>
      resultsOf(rows),
    ) as [Results, Results];
    const lines = linesOf(formatResults(after, compareWith('there', before, after, 0)));
    expect(lines.slice(-4, -1)).toEqual([
      'difference from there, in points (positive: better here), by the paired bootstrap',
      'rows of both | released rule | strict rule | similarity',
      'options as stored | 1 | 100.0 (100.0 to 100.0) | 100.0 (100.0 to 100.0)',
    ]);
  });
});
