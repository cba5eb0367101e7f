import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { SPLITS } from '../../scripts/pipeline.ts';
import type { Estimate } from '../../src/eval/bootstrap.ts';
import type { Experiment } from './open.ts';
import { accuracy, gain, gainOverSeeds, type SeedResult, wellFormed } from './results.ts';

const percent = ({ mean, low, high }: Estimate): string =>
  `${(100 * mean).toFixed(1)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

/** The tables of an experiment in Markdown: each model by seed and over all seeds, and the paired differences; of those
 * also an interval over seeds. */
export function tablesOf({ models, compared }: Experiment, seeds: readonly SeedResult[]): string {
  const figures = (some: readonly SeedResult[], model: string): string[] => [
    ...SPLITS.map((split) => percent(accuracy(some, model, split))),
    (100 * wellFormed(some, model)).toFixed(1),
  ];
  const differences = (some: readonly SeedResult[], label: string | number, of = gain): string[] =>
    compared.map(([before, after]) =>
      row([label, `${after} - ${before}`, ...SPLITS.map((split) => percent(of(some, before, after, split)))]),
    );
  return [
    row(['seed', 'model', 'seen', 'unseen', 'right form', 'seconds']),
    row(['-', '-', '-', '-', '-', '-']),
    ...seeds.flatMap((one) =>
      models.map((model) =>
        row([one.seed, model, ...figures([one], model), one.seconds[model]?.toFixed(0) ?? '']),
      ),
    ),
    ...models.map((model) => row(['all', model, ...figures(seeds, model), ''])),
    '',
    row(['seed', 'difference, points', 'seen', 'unseen']),
    row(['-', '-', '-', '-']),
    ...seeds.flatMap((one) => differences([one], one.seed)),
    ...differences(seeds, 'all'),
    ...(seeds.length > 1 ? differences(seeds, 'seeds as the sample', gainOverSeeds) : []),
  ].join('\n');
}

const [BEGIN, END] = ['<!-- table -->', '<!-- end -->'];

/** Puts tables between the marks of a page, if that is there. */
export async function putTables(page: string, tables: string): Promise<void> {
  if (!existsSync(page)) return;
  const [before = '', rest = ''] = readFileSync(page, 'utf8').split(BEGIN);
  const after = rest.split(END)[1] ?? '\n';
  const text = `${before}${BEGIN}\n\n${tables}\n\n${END}${after}`;
  writeFileSync(page, await format(text, { ...(await resolveConfig(page)), parser: 'markdown' }));
}
