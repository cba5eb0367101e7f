/*
 * An experiment on the synthetic birds over several seeds: `npm run experiment -- NAME [--seeds N]`. A model that is in its
 * results.json is not made again, and one that was broken off goes on. Writes experiments/NAME/results.json, and from
 * it the tables of its README and its plots.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCpu } from '../src/common/machine.ts';
import { openExperiment } from './support/open.ts';
import { drawAccuracies, drawDifferences } from './support/plot.ts';
import { complete, readResults, writeResults } from './support/results.ts';
import { runSeed } from './support/seed.ts';
import { putTables, tablesOf } from './support/table.ts';

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '3' } },
  allowPositionals: true,
});
const experiment = await openExperiment(positionals[0]);
const file = join(experiment.folder, 'results.json');
const results = readResults(file) ?? { processor: readCpu().model, seeds: [] };
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  let result = results.seeds.find((one) => one.seed === seed);
  if (result === undefined) results.seeds.push((result = { seed, seconds: {}, rightness: {} }));
  await runSeed(experiment, result, () => {
    writeResults(file, results);
  });
}
const seeds = complete(results, experiment.models);
const tables = tablesOf(experiment, seeds);
console.log(tables);
await putTables(join(experiment.folder, 'README.md'), tables);
writeFileSync(join(experiment.folder, 'accuracy.svg'), drawAccuracies(experiment, seeds));
writeFileSync(join(experiment.folder, 'differences.svg'), drawDifferences(experiment, seeds));
