/*
 * The quickstart over several seeds: base, SFT, TAPO, and DAPO at equal rollouts beside it, on the synthetic birds; closed world with
 * shuffled options, exact names, seen and unseen kinds. `npm run experiment:quickstart [-- --seeds N]`; a seed that is
 * done is not run again. Writes experiments/quickstart/results.json, and the table of its README from it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { type Estimate, bootstrapMean, pairedBootstrap } from '../../src/eval/bootstrap.ts';
import { readCpu } from '../../src/common/machine.ts';
import {
  drawBirds,
  examine,
  fineTune,
  path,
  reinforce,
  type Rightness,
  type Split,
  SPLITS,
} from '../../scripts/pipeline.ts';

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '3' } } });
const FILE = path('experiments/quickstart/results.json');
const README = path('experiments/quickstart/README.md');
const RUNS = path('runs/experiment-quickstart');

/* Stage 2 as the quickstart has it, and what is compared with it: the same number of responses, steps and updates. */
const STAGES = {
  tapo: [],
  dapo: ['variant=dapo', 'rollout.n1=10', 'rollout.n2=0'],
} as const;
type Model = 'base' | 'sft' | keyof typeof STAGES;
const MODELS: readonly Model[] = ['base', 'sft', 'tapo', 'dapo'];

/* 0 and 1 of each question, in a text: a digit each. */
type Digits = Record<Split, Record<keyof Rightness[Split], string>>;

interface SeedResult {
  seed: number;
  seconds: Partial<Record<Model, number>>;
  rightness: Record<Model, Digits>;
}

function digitsOf(rightness: Rightness): Digits {
  const of = ({ right, formed }: Rightness[Split]) => ({ right: right.join(''), formed: formed.join('') });
  return { seen: of(rightness.seen), unseen: of(rightness.unseen) };
}
const valuesOf = (digits: string): number[] => Array.from(digits, Number);

async function runSeed(seed: number): Promise<SeedResult> {
  const folder = join(RUNS, `seed-${seed}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const birds = await drawBirds(folder, seed);
  const base = digitsOf(await examine(path('models/tiny-base'), birds));
  const sft = await fineTune(folder, birds, seed);
  const result: SeedResult = {
    seed,
    seconds: { sft: sft.seconds },
    rightness: { base, sft: digitsOf(await examine(sft.checkpoint, birds)) } as SeedResult['rightness'],
  };
  for (const [name, settings] of Object.entries(STAGES) as [keyof typeof STAGES, readonly string[]][]) {
    const { checkpoint, seconds } = await reinforce(folder, birds, {
      seed,
      model: sft.checkpoint,
      name,
      settings,
    });
    result.seconds[name] = seconds;
    result.rightness[name] = digitsOf(await examine(checkpoint, birds));
  }
  return result;
}

interface Results {
  processor: string;
  seeds: SeedResult[];
}

const results: Results = existsSync(FILE)
  ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results)
  : { processor: readCpu().model, seeds: [] };
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  if (results.seeds.some((one) => one.seed === seed)) continue;
  results.seeds.push(await runSeed(seed));
  writeFileSync(FILE, `${JSON.stringify(results, undefined, 2)}\n`);
}

const percent = ({ mean, low, high }: Estimate): string =>
  `${(100 * mean).toFixed(1)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
const rightOf = (seed: SeedResult, model: Model, split: Split): number[] =>
  valuesOf(seed.rightness[model][split].right);
const pooled = (model: Model, split: Split): number[] =>
  results.seeds.flatMap((seed) => rightOf(seed, model, split));
const difference = (before: Model, after: Model, split: Split): string =>
  percent(pairedBootstrap(pooled(before, split), pooled(after, split)));

const lines = [
  '| seed | model | seen | unseen | right form | seconds |',
  '| ---- | ----- | ---- | ------ | ---------- | ------- |',
  ...results.seeds.flatMap((seed) =>
    MODELS.map((model) => {
      const formed = SPLITS.flatMap((split) => valuesOf(seed.rightness[model][split].formed));
      const cells = [
        seed.seed,
        model,
        ...SPLITS.map((split) => percent(bootstrapMean(rightOf(seed, model, split)))),
        (100 * bootstrapMean(formed).mean).toFixed(1),
        seed.seconds[model]?.toFixed(0) ?? '',
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ),
  '',
  '| difference, all seeds, points | seen | unseen |',
  '| ----------------------------- | ---- | ------ |',
  ...(
    [
      ['sft', 'tapo'],
      ['sft', 'dapo'],
      ['dapo', 'tapo'],
    ] as const
  ).map(
    ([before, after]) =>
      `| ${after} - ${before} | ${SPLITS.map((split) => difference(before, after, split)).join(' | ')} |`,
  ),
];
const text = lines.join('\n');
console.log(text);
if (existsSync(README)) {
  const [before = '', rest = ''] = readFileSync(README, 'utf8').split('<!-- table -->');
  const after = rest.split('<!-- end -->')[1] ?? '\n';
  const page = `${before}<!-- table -->\n\n${text}\n\n<!-- end -->${after}`;
  writeFileSync(README, await format(page, { ...(await resolveConfig(README)), parser: 'markdown' }));
}
