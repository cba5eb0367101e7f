/*
 * One whole TAPO step of a small model in a process of its own, as bench/peers/torch_tapo.py has it: 16 prompts of 64 tokens, 5
 * responses of 64 tokens on each of two pictures, log-probabilities with the negative, one update. Arguments: hidden size,
 * layers, repetitions. Prints the medians of its phases as one line of JSON.
 */
import * as tf from '@tensorflow/tfjs';
import { lossOf } from '../../src/config/tapoLoss.ts';
import type { TripletPrompts } from '../../src/data/triplets.ts';
import type { ModelInputs } from '../../src/model/inputs.ts';
import { selectBackend } from '../../src/runtime/index.ts';
import type { Group, LoadedTriplet } from '../../src/tapo/groups.ts';
import { rollOut } from '../../src/tapo/rollout.ts';
import { trainOnGroups } from '../../src/tapo/step.ts';
import { createUpdater } from '../../src/tapo/update.ts';
import { createAccumulator } from '../../src/train/accumulate.ts';
import { createOptimiser } from '../../src/train/optimiser.ts';
import { buildSmallModel, smallInputs } from './smallModel.ts';
import { median } from './timing.ts';

const [hidden = '64', layers = '4', repeats = '3'] = process.argv.slice(2);
const [PROMPTS, LENGTH, NEW_TOKENS, WARM_UP] = [16, 64, 64, 2];

await selectBackend({ backend: 'tensorflow' });
const model = buildSmallModel({ hidden: Number(hidden), layers: Number(layers) });
const trained = new Map([...model.parameters].filter(([name]) => name.startsWith('model.')));
const loss = lossOf('released', { accumulation: 'token-mean' });
const config = {
  seed: 1,
  rollout: {
    n1: 5,
    n2: 5,
    temperature: 1,
    topP: 0.99,
    maxNewTokens: NEW_TOKENS,
    promptsAtOnce: PROMPTS,
    responsesAtOnce: 160,
  },
  batch: {
    promptsPerStep: PROMPTS,
    promptsPerUpdate: PROMPTS,
    passes: 1,
    responsesPerMicroBatch: 40,
    responsesPerScoring: 40,
  },
};
const { fused } = model.functions;
const optimiser = createOptimiser(
  trained,
  { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 },
  fused,
);
const updater = createUpdater(model, {
  loss,
  temperature: 1,
  trainable: new Set(trained.keys()),
  checkpointing: 'auto',
});
const tools = {
  config,
  loss,
  model,
  reference: undefined,
  updater,
  accumulator: createAccumulator(fused),
  optimiser,
  signal: undefined,
};

const pictures = [0, 1, 2].map(() => smallInputs(PROMPTS, LENGTH)) as [ModelInputs, ModelInputs, ModelInputs];
const triplets = Array.from({ length: PROMPTS }, (_, i): LoadedTriplet => {
  const image = (inputs: ModelInputs, scale: number) => {
    const pixels = inputs.pixelValues as Float32Array;
    const size = pixels.length / PROMPTS;
    const pixelValues = pixels.slice(i * size, (i + 1) * size).map((x) => x * scale);
    return { pixelValues, gridThw: inputs.imageGridThw[i] as [number, number, number] };
  };
  const prompt = { image: '', ids: pictures[0].inputIds[i] as number[] };
  return {
    number: i,
    triplet: { anchor: prompt, positive: prompt, negative: prompt } as unknown as TripletPrompts,
    images: {
      anchor: image(pictures[0], 1),
      positive: image(pictures[1], 0.9),
      negative: image(pictures[2], 0.8),
    },
  };
});
const tokenizer = { decode: () => '' } as unknown as Parameters<typeof rollOut>[2]['tokenizer'];

async function step(number: number): Promise<[rollout: number, score: number, update: number]> {
  const started = performance.now();
  const drawn = await rollOut(triplets, number, {
    model,
    tokenizer,
    stopTokens: [],
    config,
    signal: undefined,
  });
  const seconds = (performance.now() - started) / 1e3;
  const groups = triplets.map((triplet, i): Group => ({
    ...triplet,
    responses: (drawn[i] ?? []).map((one, n) => ({
      ...one,
      reward: { overall: n % 2, format: 1, accuracy: n % 2, strict: n % 2 },
    })),
  }));
  const updated = await trainOnGroups(groups, { learningRate: 1e-5, annealing: 1 }, tools);
  const last = [...trained.values()].at(-1);
  await tf.tidy(() => last?.read().sum() as tf.Tensor).data();
  return [seconds, updated.scoreSeconds, updated.updateSeconds];
}

for (let i = 0; i < WARM_UP; i++) await step(i);
const runs: [number, number, number][] = [];
for (let i = 0; i < Number(repeats); i++) runs.push(await step(WARM_UP + i));
const [rollout_s, score_s, update_s] = [0, 1, 2].map((phase) =>
  median(runs.map((run) => run[phase] as number)),
);
const step_s = median(runs.map((run) => run.reduce((sum, x) => sum + x, 0)));
process.stdout.write(`${JSON.stringify({ rollout_s, score_s, update_s, step_s })}\n`);
