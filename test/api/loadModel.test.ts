import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { afterEach, describe, expect, it } from 'vitest';
import {
  batchInputs,
  ConfigError,
  DataError,
  loadModel,
  type Model,
  type ModelInputs,
} from '../../src/index.ts';
import { largestDifference, MODELS, readCase, toInputs } from '../model/support.ts';
import { makeModelFolder } from '../support/modelFolder.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

const TINY_A = `${MODELS}tiny-a`;
const PICTURE = fileURLToPath(new URL('image/src/rgb_224x224.png', GOLDENS));
const golden = (name: string): Record<string, Golden> => readGolden(new URL(name, GOLDENS));

describe.each(['tensorflow', 'wasm'] as const)('on %s', (backend) => {
  afterEach(() => {
    expect(tf.memory().numTensors, 'tensors left behind').toBe(0);
  });

  it('gives logits, responses, scores and gradients as plain arrays', async () => {
    const { inputs, golden: expected, floors } = readCase('tiny-a', 'one_image');
    using model = await loadModel(TINY_A, { backend });
    expect(model.backend.backend).toBe(backend);
    const { data, shape } = await model.logits(inputs);
    expect(shape).toEqual([1, 52, 1000]);
    expect(largestDifference(data, (expected['text.logits'] as Golden).data)).toBeLessThan(
      5 * (floors['text.logits'] as number),
    );

    const { tokens, logProbs, finishReasons } = await model.generate(inputs, { maxNewTokens: 8 });
    expect(finishReasons).toEqual(['length']);
    const scores = await model.score(inputs, tokens);
    (logProbs[0] as number[]).forEach((logProb, i) => {
      expect(Math.abs(logProb - (scores.logProbs[0]?.[i] as number))).toBeLessThan(1e-4);
    });

    const labels = inputs.inputIds.map((ids) => ids.map((id, at) => (at > 45 ? id : -100)));
    const { loss, gradients } = await model.lossAndGradients({ ...inputs, labels }, { trainable: [/norm/] });
    expect(loss).toBeGreaterThan(0);
    expect(gradients.get('model.norm.weight')?.length).toBe(64);
  });

  it('saves a checkpoint that is the same model', async () => {
    const { inputs } = readCase('tiny-a', 'text_only');
    const folder = mkdtempSync(join(tmpdir(), 'finer1-saved-'));
    using model = await loadModel(TINY_A, { backend });
    model.save(folder);
    expect(readdirSync(folder).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
    ]);
    using again = await loadModel(folder, { backend });
    const [before, after] = [await model.logits(inputs), await again.logits(inputs)];
    expect(largestDifference(after.data, before.data)).toBe(0);
  });

  it('runs, merges and saves an adapter as peft', async () => {
    const { inputs } = readCase('tiny-a', 'one_image');
    const lora = golden('lora/golden.safetensors');
    const expected = (lora.logits as Golden).data;
    const adapter = fileURLToPath(new URL('lora/adapter', GOLDENS));
    using model = await loadModel(TINY_A, { backend, adapter });
    expect(largestDifference((await model.logits(inputs)).data, expected)).toBeLessThan(1e-3);

    const labels = inputs.inputIds;
    const { gradients } = await model.lossAndGradients({ ...inputs, labels }, { trainable: [/lora_/] });
    const names = Object.keys(lora).filter((name) => name.startsWith('grad.'));
    expect(gradients.size).toBe(names.length);
    for (const name of names) {
      const released = name.replace('grad.', '').replace('model.language_model.', 'model.');
      const largest = Math.max(...Array.from((lora[name] as Golden).data, Math.abs));
      const difference = largestDifference(gradients.get(released) ?? [], (lora[name] as Golden).data);
      expect(difference, name).toBeLessThan(1e-4 * Math.max(1, largest));
    }

    const folder = mkdtempSync(join(tmpdir(), 'finer1-adapter-'));
    model.save(folder);
    using again = await loadModel(TINY_A, { backend, adapter: folder });
    expect(largestDifference((await again.logits(inputs)).data, expected)).toBeLessThan(1e-3);

    model.mergeAdapter();
    expect(largestDifference((await model.logits(inputs)).data, expected)).toBeLessThan(1e-3);
  });
});

describe('conversations and pictures', () => {
  const ask = (text: string) => [
    { role: 'user' as const, content: [{ type: 'image' as const }, { type: 'text' as const, text }] },
  ];

  it('become inputs with as many image tokens as the picture has', async () => {
    using model = await loadModel(makeModelFolder(), { backend: 'tensorflow' });
    const inputs = await model.prepare(ask('What is it?'), [PICTURE]);
    expect(inputs.imageGridThw).toEqual([[1, 16, 16]]);
    expect(inputs.pixelValues?.length).toBe(256 * 1176);
    expect(inputs.inputIds[0]?.filter((id) => id === 990).length).toBe(64);
    const text = model.tokenizer?.decode(inputs.inputIds[0] as number[]) ?? '';
    expect(text).toContain('What is it?<|im_end|>\n<|im_start|>assistant\n');
    const { tokens } = await model.generate(inputs, { maxNewTokens: 4 });
    expect(tokens[0]?.length).toBeGreaterThan(0);
  });

  it('say what does not fit', async () => {
    using model = await loadModel(makeModelFolder(), { backend: 'tensorflow' });
    await expect(model.prepare(ask('Which?'))).rejects.toThrow(DataError);
    await expect(model.prepare(ask('Which?'), ['/no/such/file.jpg'])).rejects.toThrow(/no\/such\/file\.jpg/);
    using bare = await loadModel(TINY_A, { backend: 'tensorflow' });
    await expect(bare.prepare(ask('Which?'), [PICTURE])).rejects.toThrow(/holds no tokenizer\.json/);
    await expect(loadModel('/no/such/folder')).rejects.toThrow(ConfigError);
    await expect(loadModel(TINY_A, { dtype: 'int4' as 'auto' })).rejects.toThrow(/dtype/);
    await expect(loadModel(makeModelFolder(), { minPixels: 1e6 })).rejects.toThrow(/above maxPixels/);
  });
});

describe('a row', () => {
  const part = (
    { inputIds, attentionMask, ...rest }: ModelInputs,
    row: number,
    patches: [number, number],
  ): ModelInputs => {
    const keep = (attentionMask[row] as number[]).map((value) => value === 1);
    const ids = (inputIds[row] as number[]).filter((_, i) => keep[i]);
    return {
      inputIds: [ids],
      attentionMask: [ids.map(() => 1)],
      pixelValues: rest.pixelValues?.slice(patches[0] * 1176, patches[1] * 1176) ?? null,
      imageGridThw: [rest.imageGridThw[row] as number[]],
    };
  };
  const patchesOf: [number, number][] = [
    [0, 24],
    [24, 144],
  ];

  it.each(['tiny-a', 'tiny-b'])(
    'of %s has the same log-probabilities alone, padded on the left or right, and in a batch of mixed images',
    async (name) => {
      const left = readCase(name, 'batch_left').inputs;
      const right = readCase(name, 'batch_right').inputs;
      const responses = [0, 1].map((row) => Array.from({ length: 20 }, (_, i) => (i * 37 + row * 11) % 600));
      using model: Model = await loadModel(`${MODELS}${name}`, { backend: 'tensorflow', dtype: 'float32' });
      const together = await model.score(left, responses);
      const padded = await model.score(right, responses);
      const alone = patchesOf.map((patches, row) => part(left, row, patches));
      const joined = await model.score(batchInputs(alone, 3), responses);
      const logits = await model.logits(right);
      for (const [row, inputs] of alone.entries()) {
        const single = await model.score(inputs, [responses[row] as number[]]);
        for (const other of [together, padded, joined]) {
          expect(largestDifference(other.logProbs[row] ?? [], single.logProbs[0] ?? [])).toBeLessThan(1e-5);
          expect(largestDifference(other.entropies[row] ?? [], single.entropies[0] ?? [])).toBeLessThan(1e-5);
        }
        const { data } = await model.logits(inputs);
        const from = row * (logits.shape[1] * logits.shape[2]);
        expect(largestDifference(logits.data.subarray(from, from + data.length), data)).toBeLessThan(1e-5);
      }
    },
  );

  it('draws the same response alone as in a batch, and others for another seed', async () => {
    const left = readCase('tiny-a', 'batch_left').inputs;
    using model = await loadModel(TINY_A, { backend: 'tensorflow' });
    const options = { maxNewTokens: 40, temperature: 1, topP: 0.99, samples: 3, stopTokens: [] };
    const together = await model.generate(left, options);
    const alone = await model.generate(part(left, 1, [24, 144]), options);
    expect(alone.tokens).toEqual(together.tokens.slice(3));
    expect(new Set(alone.tokens.map(String)).size).toBe(3);
    const other = await model.generate(left, { ...options, seed: 1 });
    expect(other.tokens).not.toEqual(together.tokens);
    const again = await model.generate(left, options);
    expect(again).toEqual(together);
  });

  it('follows a constraint after its prefix, with or without other filters', async () => {
    const { inputs } = readCase('tiny-a', 'text_only');
    using model = await loadModel(TINY_A, { backend: 'tensorflow' });
    const free = await model.generate(inputs, { maxNewTokens: 12, stopTokens: [] });
    const prefix = (free.tokens[0] as number[]).slice(2, 4);
    const continuations = [
      [11, 12, 13],
      [11, 14],
      [21, 22, 23],
    ];
    for (const temperature of [0, 1]) {
      const { tokens } = await model.generate(inputs, {
        maxNewTokens: 12,
        temperature,
        stopTokens: [],
        constraint: { prefix: temperature === 0 ? prefix : [], continuations },
      });
      const from = temperature === 0 ? 4 : 0;
      const followed = (tokens[0] as number[]).slice(from);
      const fits = continuations.some((path) => path.every((token, i) => followed[i] === token));
      expect(fits, followed.join()).toBe(true);
    }
  });

  it('costs no time once it is finished: the batch shrinks', async () => {
    const left = readCase('tiny-a', 'batch_left').inputs;
    using model = await loadModel(TINY_A, { backend: 'tensorflow' });
    const free = await model.generate(left, { maxNewTokens: 60, stopTokens: [] });
    const stop = free.tokens[0]?.[20] as number;
    const stopped = await model.generate(left, { maxNewTokens: 60, stopTokens: [stop] });
    free.tokens.forEach((row, i) => {
      const end = row.indexOf(stop);
      expect(stopped.tokens[i]).toEqual(end === -1 ? row : row.slice(0, end + 1));
    });
  });

  it('stops when it is told to', async () => {
    const { inputs } = readCase('tiny-a', 'text_only');
    using model = await loadModel(TINY_A, { backend: 'tensorflow' });
    const controller = new AbortController();
    const seen: number[] = [];
    const run = async (): Promise<void> => {
      for await (const parts of model.stream(inputs, {
        maxNewTokens: 200,
        stopTokens: [],
        signal: controller.signal,
      })) {
        seen.push(...parts.flatMap(({ tokens }) => tokens));
        if (seen.length > 20) controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(seen.length).toBeLessThan(100);
  });
});

it('gradients of the golden inputs fit the public form', async () => {
  const file = golden('sft/inputs.safetensors');
  const inputs = {
    ...toInputs(file),
    labels: toInputs({ ...file, input_ids: file.labels as Golden }).inputIds,
  };
  using model = await loadModel(TINY_A, { backend: 'tensorflow' });
  const { gradients } = await model.lossAndGradients(inputs);
  expect([...gradients.keys()].sort()).toEqual(Object.keys(golden('sft/grads_all.safetensors')).sort());
});
