/*
 * A seed of an experiment, in a process of its own, started by run.ts: NAME and the seed. XLA frees no code that it has
 * compiled; so the next seed does not begin with what is left of a process's memory areas.
 */
import { readCpu } from '../src/common/machine.ts';
import { openExperiment } from './support/open.ts';
import { readResults, resultsFile, writeResults } from './support/results.ts';
import { runSeed } from './support/seed.ts';

const leave = (): never => process.exit(1);
process.once('disconnect', leave); // Whoever started it was killed.

const [name, number] = process.argv.slice(2);
const seed = Number(number);
const experiment = await openExperiment(name);
const file = resultsFile(experiment);
const results = readResults(file) ?? { processor: readCpu().model, seeds: [] };
let result = results.seeds.find((one) => one.seed === seed);
if (result === undefined) results.seeds.push((result = { seed, seconds: {}, rightness: {} }));
await runSeed(experiment, result, () => {
  writeResults(file, results);
});
process.off('disconnect', leave);
process.disconnect();
