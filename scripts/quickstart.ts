/*
 * The whole way on two cores, in minutes: a synthetic set, the tiny base model, chain-of-thought fine-tuning, triplet augmented
 * policy optimisation, a test of each, and a report. `npm run quickstart` sets TensorFlow up first. Everything goes to a
 * folder of its own in runs/.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { runReport } from '../src/cli/runReport.ts';
import { parseEvalConfig } from '../src/config/eval.ts';
import { readRows } from '../src/data/readers/dataset.ts';
import type { EvalRow } from '../src/data/rows.ts';
import { withOptions } from '../src/data/text/question.ts';
import { type Estimate, pairedBootstrap } from '../src/eval/bootstrap.ts';
import { evaluate } from '../src/eval/evaluate.ts';
import { MEASURES, type Results, valuesByRow } from '../src/eval/results.ts';
import { drawBirds, fineTune, path, reinforce, type Split, SPLITS } from './pipeline.ts';

const SEED = 1;
const [MAX_NEW_TOKENS, ASKED_AT_ONCE] = [96, 32];

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

/* Four options in the order that the set has drawn for each question; every answer is kept, for the report. */
function test(model: string, name: string): Promise<Results> {
  const config = parseEvalConfig({
    model,
    data: SPLITS.map((split) => join(birds, `eval_${split}.jsonl`)),
    options: ['stored'],
    prompt: 'plain',
    maxNewTokens: MAX_NEW_TOKENS,
    batch: ASKED_AT_ONCE,
    out: join(folder, 'tests', name),
  });
  return evaluate(config, new AbortController().signal);
}

function figuresOf({ passes: [pass] }: Results, name: Split | 'all') {
  const found = pass?.groups.find((group) => group.name === name);
  if (found === undefined) throw new Error(`The test has no questions of ${name} kinds.`);
  return found;
}

const valuesOf = ({ rows }: Results, split: Split): number[] => [
  ...valuesByRow(
    rows.filter((row) => row.split === split),
    MEASURES.strict,
  ).values(),
];

const started = performance.now();
const folder = newFolder();
const shown = relative(process.cwd(), folder);

say(
  '1. Birds are drawn: 48 seen kinds with 4 pictures each, 24 unseen ones, rationales by a teacher who confuses some.',
);
const birds = await drawBirds(folder, SEED);

say('2. The base model sees birds, but names none.');
const base = await test(path('models/tiny-base'), 'base');

say('3. Stage 1, fine-tuning: it learns to reason as the teacher does, errors included.');
const sft = await fineTune(folder, birds, SEED);
const afterSft = await test(sft.checkpoint, 'sft');

say('4. Stage 2, TAPO: right names earn, on an anchor and a positive; a look-alike is pushed away.');
const tapo = await reinforce(folder, birds, {
  seed: SEED,
  model: sft.checkpoint,
  name: 'tapo',
  config: path('configs/tiny-tapo.yaml'),
});
const afterTapo = await test(tapo.checkpoint, 'tapo');

const rows: [string, Results, number | undefined][] = [
  ['base', base, undefined],
  ['SFT', afterSft, sft.seconds],
  ['TAPO', afterTapo, tapo.seconds],
];
const cells = rows.map(([name, results, seconds]) => [
  name,
  ...SPLITS.map((split) => range(figuresOf(results, split).strict)),
  `${percent(figuresOf(results, 'all').wellFormed)} %`,
  seconds === undefined ? '' : `${seconds.toFixed(0)} s`,
]);
const table = [['', 'seen kinds', 'unseen kinds', 'right form', 'trained in'], ...cells];
const widths = (table[0] ?? []).map((_, column) =>
  Math.max(...table.map((row) => (row[column] ?? '').length)),
);
say(
  'Closed world: four options in another order each time; the answer has to name the right kind and no other. 95 % intervals.\n',
);
for (const row of table) console.log(`  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`);
for (const split of SPLITS) {
  const gain = pairedBootstrap(valuesOf(afterSft, split), valuesOf(afterTapo, split));
  console.log(`\n  TAPO over SFT, ${split} kinds: ${range(gain).replaceAll(' %', ' points')}`);
}
const [first] = (await readRows(join(birds, 'eval_unseen.jsonl'), 'eval')) as [EvalRow];
say(`All of it is in ${shown}: birds/, sft/ and tapo/ with their checkpoints, metrics.jsonl (TensorBoard reads its event files) and
generations.jsonl, tests/ with every answer. It took ${((performance.now() - started) / 60e3).toFixed(1)} min. The report:
`);
await runReport([shown], undefined);
say(`Ask the model:
  npx finer1 generate --model ${relative(process.cwd(), tapo.checkpoint)} --image ${relative(process.cwd(), String(first.image))} --prompt "${withOptions(first.question, first.options)}"
`);
