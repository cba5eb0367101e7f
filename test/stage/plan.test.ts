import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseModelConfig } from '../../src/config/model.ts';
import { type SftConfig, sftSchema } from '../../src/config/sft.ts';
import type { SupervisedRow } from '../../src/data/supervised.ts';
import { readJson } from '../../src/common/json.ts';
import { checkpointingOf, type Plan, planOf } from '../../src/stage/plan.ts';
import { adviceFor } from '../../src/stage/planAdvice.ts';
import { measureTraining } from '../../src/stage/planMeasure.ts';
import { type PlannedShapes, readShapes } from '../../src/stage/planShapes.ts';
import { loadForTraining } from '../../src/train/trainedModel.ts';
import { useBackend } from '../support/backends.ts';
import { DECODER_3B, makeHeadersOnly } from './planSupport.ts';

const BASE = fileURLToPath(new URL('../../models/tiny-base', import.meta.url));
const modelOf = (folder: string) => {
  const file = join(folder, 'config.json');
  return parseModelConfig(readJson(file), file);
};
const configOf = (more: object = {}): SftConfig =>
  sftSchema.parse({ model: BASE, output: 'run', data: { train: ['rows.json'] }, steps: 5, ...more });

/* Rows of so many tokens, half of them learnt, with a picture of 16 tokens. */
const rowsOf = (imageTokenId: number, tokens: readonly number[]): SupervisedRow[] =>
  tokens.map((count, i) => ({
    origin: { file: 'rows.json', row: i + 1 },
    ids: Array.from({ length: count }, (_, at) => (at < 16 ? imageTokenId : 7)),
    labels: [],
    learnt: count / 2,
    images: ['picture.png'],
  }));

const GIB = 2 ** 30;
const planWith = (
  config: SftConfig,
  shapes: PlannedShapes,
  { tokens = [100, 120, 90, 60], gib = 16 } = {},
): Plan =>
  planOf({
    config,
    backend: { backend: 'tensorflow', device: 'CPU', why: 'asked for' },
    shapes,
    rows: rowsOf(shapes.model.imageTokenId, tokens),
    tooLong: 2,
    validation: undefined,
    measured: { flops: 1e11, bytesPerSecond: 1e10 },
    machine: { programBytes: GIB, availableBytes: gib * GIB, freeDiskBytes: 1000 * GIB },
  });

useBackend('tensorflow');

describe('the shapes of a plan', () => {
  it.each([
    ['weights', {}],
    ['all weights', { freeze: [] }],
    ['an adapter', { lora: {} }],
    ['weights in bfloat16', { dtype: 'bfloat16' }],
  ])('are those of what is trained: %s', (_, more) => {
    const config = configOf(more);
    const { trained, parameters } = readShapes(BASE, modelOf(BASE), config);
    using loaded = loadForTraining(BASE, {
      ...config,
      lora: config.lora && { ...config.lora, baseModel: BASE },
    });
    const sizes = [...loaded.trained].map(([name, { shape, dtype }]) => {
      const elements = shape.reduce((all, size) => all * size, 1);
      return [name, { elements, bytes: elements * (dtype === 'float32' ? 4 : 2) }] as const;
    });
    expect(new Map([...trained].sort())).toEqual(new Map(sizes.sort()));
    const frozen = [...loaded.network.parameters.keys()].filter((name) => !name.includes('lora_'));
    expect([...parameters.keys()].sort()).toEqual(frozen.sort());
  });
});

describe('the plan of a 3B', () => {
  let folder: string;
  let shapes: (more?: object) => PlannedShapes;
  beforeAll(() => {
    folder = makeHeadersOnly(DECODER_3B);
    shapes = (more) => readShapes(folder, modelOf(folder), configOf(more));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('counts what is kept of each weight', () => {
    const kahan = { dtype: 'bfloat16', optimiser: { kahan: true } };
    const { memory, parameters, disk } = planWith(configOf(kahan), shapes(kahan));
    const { weights, moments, gradients } = memory.parts;
    expect(parameters.all).toBeGreaterThan(3.08e9);
    expect(weights).toBe(2 * parameters.all);
    expect([moments, gradients]).toEqual([6 * parameters.trained, 4 * parameters.trained]);
    expect(disk.checkpointBytes).toBe(weights + moments);
    const float = { dtype: 'float32' };
    const whole = planWith(configOf(float), shapes(float)).memory.parts;
    expect([whole.weights, whole.moments]).toEqual([4 * parameters.all, 8 * parameters.trained]);
  });

  it('adds gradients up only where a step has several micro-batches', () => {
    const one = planWith(configOf({ batch: { rowsPerMicroBatch: 4 } }), shapes());
    const two = planWith(configOf({ batch: { rowsPerMicroBatch: 2 } }), shapes());
    expect([one.steps.microBatches, one.memory.parts.accumulator]).toEqual([1, 0]);
    expect([two.steps.microBatches, two.memory.parts.accumulator]).toEqual([2, 4 * two.parameters.trained]);
  });

  it('keeps less activations block by block, for more time', () => {
    const tokens = [1000, 1000, 1000, 1000];
    const none = planWith(configOf({ checkpointing: 'none' }), shapes(), { tokens });
    const blocks = planWith(configOf({ checkpointing: 'blocks' }), shapes(), { tokens });
    expect(checkpointingOf(configOf(), shapes())).toBe('blocks');
    expect(blocks.memory.parts.activations).toBeLessThan(none.memory.parts.activations / 4);
    expect(blocks.time.stepSeconds).toBeGreaterThan(1.2 * none.time.stepSeconds);
    // 2 operations for each weight and token; three passes, and the forward pass again.
    const bare = (8 * blocks.parameters.trained * 4000) / 1e11;
    expect(blocks.time.stepSeconds / bare).toBeGreaterThan(0.8);
    expect(blocks.time.stepSeconds / bare).toBeLessThan(1.2);
  });

  it('says what to change where it does not fit, the most helpful first', async () => {
    const config = configOf({ dtype: 'float32', batch: { rowsPerMicroBatch: 2 } });
    const replan = (changed: SftConfig): Promise<Plan> =>
      Promise.resolve(planWith(changed, readShapes(folder, modelOf(folder), changed)));
    const plan = await replan(config);
    expect(plan.fits).toEqual({ memory: false, disk: true });
    const advice = await adviceFor(config, plan, replan);
    expect(advice[0]).toMatchObject({ set: ['lora.r=16'], fits: true });
    const names = advice.map(({ set }) => set[0]);
    expect(names).toContain('dtype=bfloat16');
    expect(names).toContain('optimiser.momentsDtype=bfloat16');
    const single = advice.slice(0, -1).map(({ memoryBytes }) => memoryBytes);
    expect(single).toEqual([...single].sort((a, b) => b - a));
    expect(advice.at(-1)?.memoryBytes).toBeGreaterThan(single[1] as number);
    const fits = planWith(config, shapes(), { gib: 1000 });
    expect(await adviceFor(config, fits, replan)).toEqual([]);
  });
});

it('counts rows, tokens and steps', () => {
  const config = configOf({ steps: undefined, epochs: 3, batch: { rowsPerStep: 3, rowsPerMicroBatch: 2 } });
  const { data, steps } = planWith(config, readShapes(BASE, modelOf(BASE), config));
  expect(data).toEqual({
    rows: 4,
    tooLong: 2,
    textTokens: 370 - 64,
    imageTokens: 64,
    learntTokens: 185,
    images: 4,
  });
  expect(steps).toMatchObject({ total: 6, perEpoch: 2, rows: 3, microBatches: 2, longest: 128 });
});

it('measures a layer that is too large by a narrower one, and leaves nothing in memory', async () => {
  const base = modelOf(BASE);
  const text = {
    ...base.text,
    hiddenSize: 4096,
    numHeads: 128,
    numKeyValueHeads: 64,
    intermediateSize: 8192,
  };
  for (const model of [base, { ...base, text }]) {
    const measured = await measureTraining(model, { dtype: 'float32', checkpointing: 'blocks', length: 64 });
    expect(measured.flops).toBeGreaterThan(1e9);
    expect(measured.bytesPerSecond).toBeGreaterThan(1e8);
  }
});
