/*
 * The whole way on two cores, in minutes: a synthetic set, the tiny base model, chain-of-thought fine-tuning, triplet augmented
 * policy optimisation, and a test of each. `npm run quickstart` sets TensorFlow up first. Everything goes to a folder of
 * its own in runs/.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { readRows } from '../src/data/readers/dataset.ts';
import type { EvalRow } from '../src/data/rows.ts';
import { withOptions } from '../src/data/synthetic/describer.ts';
import { bootstrapMean, type Estimate, pairedBootstrap } from '../src/eval/bootstrap.ts';
import { drawBirds, examine, fineTune, path, reinforce, type Rightness, SPLITS } from './pipeline.ts';

const SEED = 1;

function newFolder(): string {
  for (let number = 1; ; number++) {
    const folder = path(`runs/quickstart${number === 1 ? '' : `-${number}`}`);
    if (existsSync(folder)) continue;
    mkdirSync(folder, { recursive: true });
    return folder;
  }
}

const say = (text: string): void => {
  console.log(`\n${text}`);
};
const percent = (x: number): string => (100 * x).toFixed(1);
const range = ({ mean, low, high }: Estimate): string =>
  `${percent(mean)} % (${percent(low)}-${percent(high)})`;

const started = performance.now();
const folder = newFolder();
const shown = relative(process.cwd(), folder);

say(
  '1. Birds are drawn: 48 seen kinds with 4 pictures each, 24 unseen ones, rationales by a teacher who confuses some.',
);
const birds = await drawBirds(folder, SEED);

say('2. The base model sees birds, but names none.');
const base = await examine(path('models/tiny-base'), birds);

say('3. Stage 1, fine-tuning: it learns to reason as the teacher does, errors included.');
const sft = await fineTune(folder, birds, SEED);
const afterSft = await examine(sft.checkpoint, birds);

say('4. Stage 2, TAPO: right names earn, on an anchor and a positive; a look-alike is pushed away.');
const tapo = await reinforce(folder, birds, {
  seed: SEED,
  model: sft.checkpoint,
  name: 'tapo',
  config: path('configs/tiny-tapo.yaml'),
});
const afterTapo = await examine(tapo.checkpoint, birds);

const rows: [string, Rightness, number | undefined][] = [
  ['base', base, undefined],
  ['SFT', afterSft, sft.seconds],
  ['TAPO', afterTapo, tapo.seconds],
];
const cells = rows.map(([name, { seen, unseen }, seconds]) => [
  name,
  range(bootstrapMean(seen.right)),
  range(bootstrapMean(unseen.right)),
  `${percent(bootstrapMean([...seen.formed, ...unseen.formed]).mean)} %`,
  seconds === undefined ? '' : `${seconds.toFixed(0)} s`,
]);
const table = [['', 'seen kinds', 'unseen kinds', 'right form', 'trained in'], ...cells];
const widths = (table[0] ?? []).map((_, column) =>
  Math.max(...table.map((row) => (row[column] ?? '').length)),
);
say(
  'Closed world: four options in another order each time; the answer has to be exactly the right name. 95 % intervals.\n',
);
for (const row of table) console.log(`  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`);
for (const split of SPLITS) {
  const gain = pairedBootstrap(afterSft[split].right, afterTapo[split].right);
  console.log(`\n  TAPO over SFT, ${split} kinds: ${range(gain).replaceAll(' %', ' points')}`);
}
const [first] = (await readRows(join(birds, 'eval_unseen.jsonl'), 'eval')) as [EvalRow];
writeFileSync(
  join(folder, 'results.json'),
  `${JSON.stringify({ seed: SEED, base, sft: afterSft, tapo: afterTapo })}\n`,
);
say(`All of it is in ${shown}: birds/, sft/ and tapo/ with their checkpoints, metrics.jsonl (TensorBoard reads its event files),
generations.jsonl, and results.json. It took ${((performance.now() - started) / 60e3).toFixed(1)} min.

Ask the model:
  npx finer1 generate --model ${relative(process.cwd(), tapo.checkpoint)} --image ${relative(process.cwd(), String(first.image))} --prompt "${withOptions(first.question, first.options)}"
`);
