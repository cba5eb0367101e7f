/*
 * `finer1 classify` and `finer1 verify` on 200 drawn birds of 18 kinds (10 seen, 8 unseen), with a tiny model after stage 1:
 * is each label a candidate, does the same come out twice, does verify confirm all records and none where picture, prompt
 * or weights are others, and does refusing help? `npm run prove:classify [-- --model DIR --birds DIR]`: with a checkpoint and
 * its birds that are there already, or draws and trains them (minutes). Writes docs/figures/classify.json.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ClassifyRecord } from '../src/classify/record.ts';
import { readCpu } from '../src/common/machine.ts';
import { readRows } from '../src/data/readers/dataset.ts';
import { groupBy } from '../src/eval/groupBy.ts';
import { riskCoverage } from '../src/eval/riskCoverage.ts';
import { drawBirds, fineTune, path, SPLITS } from './pipeline.ts';

const KINDS = { seen: { kinds: 10, pictures: 8 }, unseen: { kinds: 8, pictures: 15 } };
const COVERAGES = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
const SEED = 1;

const { values } = parseArgs({ options: { model: { type: 'string' }, birds: { type: 'string' } } });
const folder = mkdtempSync(join(tmpdir(), 'finer1-prove-'));

/* What the command line prints; fails where it fails otherwise than expected. */
function finer1(args: readonly string[], status = 0): string {
  const child = spawnSync(process.execPath, [path('bin/finer1.js'), ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.status === status) return child.stdout;
  throw new Error(`finer1 ${args.join(' ')} ended with ${String(child.status)}; expected ${status}.`);
}

/* The pictures in one folder, and the kind of each by its file's name. */
async function collect(birds: string, into: string): Promise<Map<string, string>> {
  mkdirSync(into);
  const kindOf = new Map<string, string>();
  for (const split of SPLITS) {
    const rows = await readRows(join(birds, `eval_${split}.jsonl`), 'eval');
    const kinds = [...groupBy(rows, ({ groundTruth }) => groundTruth)].slice(0, KINDS[split].kinds);
    for (const [kind, of] of kinds) {
      for (const { image } of of.slice(0, KINDS[split].pictures)) {
        const name = `${String(kindOf.size).padStart(3, '0')}.png`;
        copyFileSync(image as string, join(into, name));
        kindOf.set(name, kind);
      }
    }
  }
  return kindOf;
}

const birds = values.birds ?? (await drawBirds(folder, SEED));
const model = values.model ?? (await fineTune(folder, birds, SEED)).checkpoint;
const pictures = join(folder, 'pictures');
const kindOf = await collect(birds, pictures);
const candidates = [...new Set(kindOf.values())];
const names = join(folder, 'candidates.txt');
writeFileSync(names, candidates.join('\n'));

const classify = (image: string): { text: string; seconds: number } => {
  const started = performance.now();
  const text = finer1([
    ...['classify', '--model', model, '--image', image, '--candidates', names],
    ...['--question', 'what bird is this?', '--instruction', '', '--json'],
  ]);
  return { text, seconds: (performance.now() - started) / 1e3 };
};
const first = classify(pictures);
const second = classify(pictures);
const one = classify(join(pictures, '000.png'));
const records = first.text
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as ClassifyRecord);

/* How many of the records are confirmed, after a change to each of them. */
function confirmed(
  change: (record: ClassifyRecord) => ClassifyRecord,
  more: readonly string[] = [],
  status = 1,
): number {
  const file = join(folder, 'records.jsonl');
  writeFileSync(file, records.map((record) => `${JSON.stringify(change(record))}\n`).join(''));
  const said = /(\d+) of \d+ confirmed/.exec(finer1(['verify', file, ...more], status));
  return Number(said?.[1]);
}

const same = (record: ClassifyRecord): ClassifyRecord => record;
function flipLastBit(file: string): void {
  const bytes = readFileSync(file);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  writeFileSync(file, bytes);
}
function withOtherPictures(): number {
  const others = join(folder, 'others');
  cpSync(pictures, others, { recursive: true });
  for (const name of readdirSync(others)) flipLastBit(join(others, name));
  return confirmed((record) => ({
    ...record,
    image: { ...record.image, path: join(others, basename(record.image.path)) },
  }));
}
function withOtherWeights(): number {
  const other = join(folder, 'model');
  cpSync(model, other, { recursive: true });
  flipLastBit(join(other, readdirSync(other).find((name) => name.endsWith('.safetensors')) as string));
  return confirmed(same, ['--model', other]);
}

const outcomes = records.map(({ label, probabilities, image }) => ({
  probability: Math.max(...Object.values(probabilities as Record<string, number>)),
  right: label === kindOf.get(basename(image.path)),
}));
const curve = riskCoverage(outcomes);
const points = COVERAGES.map((coverage) => curve.find((point) => point.coverage <= coverage)).filter(
  (point) => point !== undefined,
);
const falls = (values: readonly number[]): boolean =>
  values.every((value, i) => i === 0 || value <= (values[i - 1] as number));
const figures = {
  processor: readCpu().model,
  pictures: records.length,
  candidates: candidates.length,
  right: outcomes.filter(({ right }) => right).length,
  outsideOfTheCandidates: records.filter(({ label }) => !candidates.includes(label as string)).length,
  sameTwice: first.text === second.text,
  sameAlone: first.text.startsWith(one.text),
  picturesPerSecond: (records.length - 1) / (second.seconds - one.seconds),
  verify: {
    confirmed: confirmed(same, [], 0),
    withOtherPictures: withOtherPictures(),
    withOtherQuestion: confirmed((record) => ({ ...record, question: 'what is this?' })),
    withOtherPrompt: confirmed((record) => ({ ...record, prompt: `${record.prompt} be brief.` })),
    withOtherWeights: withOtherWeights(),
  },
  refusal: {
    coverageFalls: falls(curve.map(({ coverage }) => coverage)),
    riskFallsAtThesePoints: falls(points.map(({ risk }) => risk)),
    points,
  },
};
rmSync(folder, { recursive: true });
mkdirSync(path('docs/figures'), { recursive: true });
const text = JSON.stringify(figures, undefined, 2);
writeFileSync(path('docs/figures/classify.json'), `${text}\n`);
console.log(text);
