/*
 * Stage 1 on the synthetic birds, from the tiny base model, three seeds: time, form, closed-world accuracy on seen and
 * unseen kinds with 95 % intervals. `npm run prove:sft [-- --seeds N] [--set path.to.key=value ...]`; writes
 * docs/figures/sft.json.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readCpu } from '../src/common/machine.ts';
import { loadConfigFile } from '../src/config/file.ts';
import { sftSchema } from '../src/config/sft.ts';
import { readRows } from '../src/data/readers/dataset.ts';
import { DEFAULT_OPTIONS } from '../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../src/data/synthetic/write.ts';
import { trainSft } from '../src/sft/trainer.ts';
import { openInputs } from '../src/stage/inputs.ts';
import { validate } from '../src/stage/validate.ts';
import { loadForTraining } from '../src/train/trainedModel.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '3' }, set: { type: 'string', multiple: true, default: [] } },
});
const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const MAX_NEW_TOKENS = 96;

/* Wilson's interval of a share, 95 %. */
function interval(share: number, count: number): [number, number] {
  const z2 = 1.96 ** 2;
  const middle = (share + z2 / (2 * count)) / (1 + z2 / count);
  const half = (1.96 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2))) / (1 + z2 / count);
  return [middle - half, middle + half];
}

async function prove(seed: number, folder: string) {
  const birds = join(folder, 'birds');
  await writeSyntheticSet(birds, { ...DEFAULT_OPTIONS, seed });
  const config = loadConfigFile(path('configs/tiny-sft.yaml'), sftSchema, [
    `seed=${seed}`,
    `output=${join(folder, 'run')}`,
    `data.train=[${join(birds, 'sft.json')}]`,
    'data.validation=null',
    'validation=null',
    ...values.set,
  ]);
  const started = performance.now();
  const { checkpoint } = await trainSft(config, { resume: false });
  const seconds = (performance.now() - started) / 1e3;
  using model = loadForTraining(checkpoint, { dtype: 'auto', freeze: [], seed });
  await using inputs = openInputs(checkpoint, model.network.config, config.data);
  const measure = async (name: string) => {
    const rows = await readRows(join(birds, name), 'eval');
    const { accuracy, wellFormed } = await validate(model.network, rows, inputs, MAX_NEW_TOKENS);
    return { rows: rows.length, accuracy, interval: interval(accuracy, rows.length), wellFormed };
  };
  return {
    seed,
    seconds,
    seen: await measure('eval_seen.jsonl'),
    unseen: await measure('eval_unseen.jsonl'),
  };
}

const results = [];
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-prove-'));
  const result = await prove(seed, folder);
  rmSync(folder, { recursive: true });
  results.push(result);
  const percent = (x: number): string => (100 * x).toFixed(1);
  const show = ({ accuracy, interval: [low, high], wellFormed }: typeof result.seen): string =>
    `${percent(accuracy)} % (${percent(low)}-${percent(high)}), form ${percent(wellFormed)} %`;
  console.log(
    `seed ${seed}: ${result.seconds.toFixed(0)} s; seen ${show(result.seen)}; unseen ${show(result.unseen)}`,
  );
}
const figures = path('docs/figures');
if (!existsSync(figures)) mkdirSync(figures);
writeFileSync(
  join(figures, 'sft.json'),
  `${JSON.stringify({ processor: readCpu().model, settings: values.set, results }, undefined, 2)}\n`,
);
