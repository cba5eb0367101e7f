import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { lossOf } from '../../src/config/tapoLoss.ts';
import type { TripletPrompts } from '../../src/data/triplets.ts';
import type { Qwen25VL } from '../../src/model/qwen25vl.ts';
import { groupAdvantages } from '../../src/tapo/advantage.ts';
import type { Group, Response } from '../../src/tapo/groups.ts';
import { joinMeasures } from '../../src/tapo/measures.ts';
import { membersOf, partsOf } from '../../src/tapo/microBatch.ts';
import { createUpdater, type Prepared } from '../../src/tapo/update.ts';
import { tokenWeights } from '../../src/tapo/weights.ts';
import type { Gradients } from '../../src/train/vjp.ts';
import { loadGoldenModel } from '../model/support.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

interface EndToEnd {
  prompts: number[][];
  grid: [number, number, number];
  responses: number[][][];
  rewards: number[][];
  known: Record<'paper' | 'released', { old: number[]; neg: number[] }[][]>;
  losses: Record<string, number>;
  settings: { gamma: number; eta1: number; eta2: number };
}

const golden = JSON.parse(readFileSync(new URL('tapo/end_to_end.json', GOLDENS), 'utf8')) as EndToEnd;
const tensors = readGolden(new URL('tapo/end_to_end.safetensors', GOLDENS));
const PICTURE_SIZE = 24 * 1176;

function groupsOf(): Group[] {
  const pixels = (tensors.pixels as Golden).data as Float32Array;
  return golden.prompts.map((ids, g) => {
    const image = (picture: number) => {
      const from = (g * 3 + picture) * PICTURE_SIZE;
      return { pixelValues: pixels.slice(from, from + PICTURE_SIZE), gridThw: golden.grid };
    };
    const prompt = { image: '', ids };
    return {
      number: g,
      triplet: { anchor: prompt, positive: prompt, negative: prompt } as unknown as TripletPrompts,
      images: { anchor: image(0), positive: image(1), negative: image(2) },
      responses: (golden.responses[g] ?? []).map((tokens, r): Response => {
        const overall = golden.rewards[g]?.[r] as number;
        return {
          picture: r < 2 ? 'anchor' : 'positive',
          sample: r % 2,
          tokens,
          logProbs: [],
          truncated: false,
          text: '',
          reward: { overall, format: 1, accuracy: 0, strict: 0 },
        };
      }),
    };
  });
}

/** Loss and gradients of the whole, as the trainer computes them. */
async function lossAndGradients(
  model: Qwen25VL,
  variant: 'paper' | 'released',
  checkpointing: 'none' | 'blocks',
  atOnce: number,
): Promise<{ loss: number; gradients: Gradients }> {
  const { gamma, eta1, eta2 } = golden.settings;
  const loss = lossOf(variant, {
    klInter: { coefficient: gamma },
    entropyCoefficient: eta1,
    entropyNegativeCoefficient: eta2,
  });
  const members = membersOf(groupsOf());
  const advantages = groupAdvantages(
    members.map(({ response }) => response.reward.overall),
    members.map(({ group }) => group.number),
  );
  const weights = tokenWeights(
    members.map(({ response }) => response.tokens.length),
    members.map(() => 0),
    loss,
    { responsesPerMicroBatch: 4, maxNewTokens: 8 },
  );
  const prepared = members.map((member, i): Prepared => {
    const { old, neg } = golden.known[variant][member.group.number]?.[i % 4] as {
      old: number[];
      neg: number[];
    };
    return {
      ...member,
      advantage: advantages[i] as number,
      oldLogProbs: Float32Array.from(old),
      negLogProbs: variant === 'paper' ? undefined : Float32Array.from(neg),
      refLogProbs: undefined,
      weights: {
        policy: weights.policy[i] as number,
        entropy: weights.entropy[i] as number,
        sft: weights.sft[i] as number,
      },
    };
  });
  using updater = createUpdater(model, {
    loss,
    temperature: 1,
    trainable: new Set(model.parameters.keys()),
    checkpointing,
  });
  const gradients: Gradients = new Map();
  const measures: Float32Array[] = [];
  for (const part of partsOf(prepared, atOnce)) {
    const micro = await updater.microBatch(part, 1);
    measures.push(micro.measures);
    for (const [name, gradient] of micro.gradients) {
      const before = gradients.get(name);
      gradients.set(name, before === undefined ? gradient : before.add(gradient));
      if (before !== undefined) tf.dispose([before, gradient]);
    }
  }
  return { loss: joinMeasures(measures).loss, gradients };
}

onEveryBackend(() => {
  it.each([
    ['paper', 'none', 8],
    ['paper', 'blocks', 3],
    ['released', 'none', 8],
    ['released', 'blocks', 8],
    ['released', 'none', 3],
  ] as const)(
    'of the whole loss is that of torch in float64: %s, checkpointing %s, %d at once',
    async (variant, checkpointing, atOnce) => {
      using model = loadGoldenModel('tiny-a');
      const { loss, gradients } = await lossAndGradients(model, variant, checkpointing, atOnce);
      expect(Math.abs(loss - (golden.losses[variant] as number))).toBeLessThan(1e-4);
      const largest = golden.losses[`${variant}.largest`] as number;
      const names = Object.keys(tensors).filter((name) => name.startsWith(`${variant}.`));
      expect(names.length).toBeGreaterThan(20);
      for (const name of names) {
        const expected = (tensors[name] as Golden).data;
        const found = (gradients.get(name.slice(variant.length + 1)) as tf.Tensor).dataSync();
        const errors = Array.from(found, (x, i) => Math.abs(x - (expected[i] as number)));
        const worst = errors.reduce((most, error) => Math.max(most, error), 0);
        expect(worst / largest, name).toBeLessThan(1e-4);
      }
      tf.dispose([...gradients.values()]);
    },
  );
});
