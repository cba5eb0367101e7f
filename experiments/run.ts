/*
 * An experiment on the synthetic birds over several seeds: `npm run experiment -- NAME [--seeds N]`. A model that is in its
 * results.json is not made again, and one that was broken off goes on. Writes experiments/NAME/results.json, and from
 * it the tables of its README and its plots.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { path } from '../scripts/pipeline.ts';
import { openExperiment } from './support/open.ts';
import { drawAccuracies, drawDifferences } from './support/plot.ts';
import { complete, readResults, resultsFile } from './support/results.ts';
import { putTables, tablesOf } from './support/table.ts';

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '3' } },
  allowPositionals: true,
});
const experiment = await openExperiment(positionals[0]);
const { name, folder, models } = experiment;
const read = () => complete(readResults(resultsFile(experiment)), models);
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  if (read().some((one) => one.seed === seed)) continue;
  const child = fork(path('experiments/seed.ts'), [name, String(seed)]);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) process.exit(code ?? 1);
}
const seeds = read();
const tables = tablesOf(experiment, seeds);
console.log(tables);
await putTables(join(folder, 'README.md'), tables);
writeFileSync(join(folder, 'accuracy.svg'), drawAccuracies(experiment, seeds));
writeFileSync(join(folder, 'differences.svg'), drawDifferences(experiment, seeds));
