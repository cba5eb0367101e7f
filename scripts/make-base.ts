/*
 * Makes the tiny base model, from scratch: a Qwen2.5-VL of about a million parameters with a small tokenizer, which has
 * learnt to describe drawn birds. It stands for what Qwen2.5-VL is before it is fine-tuned: it sees, and can neither
 * name nor reason. `npm run make-base -- [--out DIR] [--steps N]`
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { createRandom, type Random } from '../src/common/random.ts';
import { type ImageConfig, parseImageConfig } from '../src/config/image.ts';
import { parseModelConfig } from '../src/config/model.ts';
import { toPatches } from '../src/data/image/patches.ts';
import { type Bird, FAMILIES, randomBird } from '../src/data/synthetic/birds.ts';
import { askForBird, describeBird } from '../src/data/synthetic/describer.ts';
import { drawBird } from '../src/data/synthetic/draw.ts';
import { DEFAULT_OPTIONS, planSet } from '../src/data/synthetic/plan.ts';
import { loadTokenizer, type Tokenizer } from '../src/data/text/tokenizer.ts';
import { saveParameters } from '../src/model/checkpoint.ts';
import { generate } from '../src/model/generate.ts';
import { expectedTensors } from '../src/model/names.ts';
import { contentOf } from '../src/model/parameters.ts';
import { createQwen25VL, type Qwen25VL } from '../src/model/qwen25vl.ts';
import { selectBackend, uniform, Variable } from '../src/runtime/index.ts';
import { collate, type Example } from '../src/train/examples.ts';
import { supervise } from '../src/train/loss.ts';
import { createOptimiser } from '../src/train/optimiser.ts';
import { learningRateAt } from '../src/train/schedule.ts';
import { createVjp } from '../src/train/vjp.ts';
import { makeTokenizer } from './base/tokenizer.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'models/tiny-base' },
    steps: { type: 'string', default: '2400' },
    batch: { type: 'string', default: '32' },
    seed: { type: 'string', default: '1' },
  },
});
const [steps, batchSize, seed] = [values.steps, values.batch, values.seed].map(Number) as [
  number,
  number,
  number,
];
const FAMILY = FAMILIES.normal;
const [PEAK, WARM_UP] = [1e-3, 100];
/* The share of descriptions in any order and form. */
const VARIED = 0.2;
const TEST_PICTURES = 256;
const SYSTEM = 'system\nYou are a helpful assistant.';
const ASK = 'describe this bird.';

const random = (purpose: string, ...indices: number[]): Random => createRandom(seed, purpose, ...indices);

/* Texts that hold every word that the set, its questions and the released prompts use. */
function corpus(): string[] {
  const plan = planSet(DEFAULT_OPTIONS);
  const captions = Array.from({ length: 300 }, (_, i) => {
    const source = random('corpus', i);
    return describeBird(randomBird(FAMILY, source), FAMILY, source);
  });
  const questions = Array.from({ length: 40 }, (_, i) => askForBird(random('question', i)));
  const chains = plan.sft.flatMap(({ messages }) =>
    messages.map(({ content }) => content.replace('<image>', '')),
  );
  const names = plan.classes.map(({ name }) => `<answer>${name}</answer> ${name}, ${name}.`);
  return [
    SYSTEM,
    'user\n',
    'assistant\n',
    ASK,
    '<think> </think>\n\n',
    ...captions,
    ...questions,
    ...chains,
    ...names,
  ];
}

const { json: tokenizerJson, size, idOf } = makeTokenizer(corpus());
const vocabSize = Math.ceil(size / 64) * 64;
const configJson = {
  architectures: ['Qwen2_5_VLForConditionalGeneration'],
  model_type: 'qwen2_5_vl',
  hidden_size: 128,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 256,
  hidden_act: 'silu',
  vocab_size: vocabSize,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  rope_scaling: { type: 'mrope', mrope_section: [4, 6, 6] },
  tie_word_embeddings: true,
  torch_dtype: 'float32',
  bos_token_id: idOf('<|endoftext|>'),
  eos_token_id: idOf('<|im_end|>'),
  vision_start_token_id: idOf('<|vision_start|>'),
  vision_end_token_id: idOf('<|vision_end|>'),
  image_token_id: idOf('<|image_pad|>'),
  video_token_id: idOf('<|video_pad|>'),
  vision_config: {
    model_type: 'qwen2_5_vl',
    depth: 3,
    hidden_size: 96,
    intermediate_size: 192,
    num_heads: 3,
    in_chans: 3,
    out_hidden_size: 128,
    patch_size: 14,
    spatial_patch_size: 14,
    spatial_merge_size: 2,
    temporal_patch_size: 2,
    tokens_per_second: 2,
    window_size: 112,
    fullatt_block_indexes: [2],
    hidden_act: 'silu',
  },
};
const preprocessorJson = {
  image_processor_type: 'Qwen2VLImageProcessor',
  min_pixels: 56 * 56,
  max_pixels: 168 * 168,
  patch_size: 14,
  temporal_patch_size: 2,
  merge_size: 2,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

function writeConfigs(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, content: object, space?: number): void =>
    writeFileSync(join(folder, name), `${JSON.stringify(content, undefined, space)}\n`);
  write('config.json', configJson, 2);
  write('preprocessor_config.json', preprocessorJson, 2);
  write('generation_config.json', { eos_token_id: [idOf('<|im_end|>'), idOf('<|endoftext|>')] }, 2);
  write('tokenizer.json', tokenizerJson);
  write(
    'tokenizer_config.json',
    {
      tokenizer_class: 'Qwen2Tokenizer',
      eos_token: '<|im_end|>',
      pad_token: '<|endoftext|>',
      model_max_length: 4096,
    },
    2,
  );
}

/* Weights of a model that knows nothing. */
function initialWeights(config: ReturnType<typeof parseModelConfig>): Map<string, Variable> {
  const parameters = new Map<string, Variable>();
  let key = 0;
  for (const [name, shape] of expectedTensors(config, { head: false })) {
    tf.tidy(() => {
      const width = shape.slice(1).reduce((product, dim) => product * dim, 1);
      const isNorm = /norm|ln_q/.test(name);
      const spread = name.includes('embed_tokens') ? 0.04 : 1 / Math.sqrt(width);
      const value = isNorm
        ? tf.ones(shape)
        : name.endsWith('.bias')
          ? tf.zeros(shape)
          : uniform([seed, key++], shape)
              .sub(0.5)
              .mul(Math.sqrt(12) * spread);
      parameters.set(name, Variable.fromTensor(value, { name }));
    });
  }
  return parameters;
}

/* One order and one form for most: sight comes from what the words say, not from guessing which comes next. */
function caption(bird: Bird, source: Random): string {
  if (source.uniform() < VARIED) return describeBird(bird, FAMILY, source);
  return `${FAMILY.parts.map((part) => `${part} ${bird[part]}`).join(', ')}.`;
}

/* A picture of a bird, asked about; the answer is its description. */
async function exampleOf(
  bird: Bird,
  source: Random,
  tokenizer: Tokenizer,
  images: ImageConfig,
): Promise<Example> {
  const pixels = await drawBird(bird, source, FAMILY, DEFAULT_OPTIONS.size);
  const side = DEFAULT_OPTIONS.size / images.patchSize;
  const pads = '<|image_pad|>'.repeat((side / images.mergeSize) ** 2);
  const ask = `<|im_start|>${SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>${pads}<|vision_end|>${ASK}<|im_end|>\n<|im_start|>assistant\n`;
  const prompt = tokenizer.encode(ask);
  const answer = tokenizer.encode(`${caption(bird, source)}<|im_end|>`);
  return {
    ids: [...prompt, ...answer],
    labels: [...prompt.map(() => -100), ...answer],
    images: [{ pixelValues: toPatches(pixels, images, 'pillow'), gridThw: [1, side, side] }],
  };
}

/* For each part of a bird: how often it is described right. */
async function accuracies(
  model: Qwen25VL,
  tokenizer: Tokenizer,
  images: ImageConfig,
): Promise<Record<string, number>> {
  const right: Record<string, number> = {};
  for (let from = 0; from < TEST_PICTURES; from += 64) {
    const birds = Array.from({ length: 64 }, (_, i) => randomBird(FAMILY, random('test bird', from + i)));
    const examples = await Promise.all(
      birds.map((bird, i) => exampleOf(bird, random('test picture', from + i), tokenizer, images)),
    );
    const prompts = examples.map((example) => {
      const ids = example.ids.filter((_, i) => example.labels[i] === -100);
      return { ...example, ids, labels: ids };
    });
    const { tokens } = await generate(model, collate(prompts), {
      maxNewTokens: 40,
      stopTokens: [idOf('<|im_end|>')],
    });
    tokens.forEach((answer, i) => {
      const text = tokenizer.decode(answer, { skipSpecialTokens: true });
      for (const part of FAMILY.parts) {
        const value = (birds[i] as Bird)[part];
        const said = new RegExp(`${part} ${value}\\b|\\b${value} ${part}`).test(text);
        right[part] = (right[part] ?? 0) + Number(said) / TEST_PICTURES;
      }
    });
  }
  return right;
}

writeConfigs(values.out);
await selectBackend({ backend: 'tensorflow' });
const config = parseModelConfig(configJson, 'the base model');
const images = parseImageConfig(preprocessorJson, 'the base model');
const tokenizer = loadTokenizer(values.out);
const parameters = initialWeights(config);
const model = createQwen25VL(config, parameters, { compute: 'float32' });
const vjp = createVjp(model);
const optimiser = createOptimiser(
  parameters,
  { betas: [0.9, 0.98], epsilon: 1e-8, weightDecay: 0.05, clipNorm: 1 },
  true,
);
const batchOf = (step: number): Promise<Example[]> =>
  Promise.all(
    Array.from({ length: batchSize }, (_, row) => {
      const source = random('example', step, row);
      return exampleOf(randomBird(FAMILY, source), source, tokenizer, images);
    }),
  );

const started = performance.now();
const elapsed = (): string => `${((performance.now() - started) / 1e3).toFixed(0)} s`;
const count = [...parameters.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
console.log(`${count} parameters, ${size} tokens`);
const trainable = new Set(parameters.keys());
let next = batchOf(0);
for (let step = 0; step < steps; step++) {
  const examples = await next;
  next = batchOf(step + 1);
  const { loss, tokens, gradients } = await supervise(model, vjp, collate(examples), trainable, (n) => 1 / n);
  await optimiser.update(
    gradients,
    learningRateAt(step, PEAK, { kind: 'cosine', warmupSteps: WARM_UP }, steps),
  );
  tf.dispose([...gradients.values()]);
  if (step % 50 === 0) console.log(`step ${step}, ${elapsed()}: loss ${(loss / tokens).toFixed(4)}`);
  if (step % 400 === 399) console.log(JSON.stringify(await accuracies(model, tokenizer, images)));
}
await next;
const figures = {
  steps,
  batch: batchSize,
  seconds: Math.round((performance.now() - started) / 1e3),
  parameters: count,
  right: await accuracies(model, tokenizer, images),
};
saveParameters(values.out, new Map([...parameters].map(([name, variable]) => [name, contentOf(variable)])));
writeFileSync(join(values.out, 'figures.json'), `${JSON.stringify(figures, undefined, 2)}\n`);
console.log(JSON.stringify(figures));
