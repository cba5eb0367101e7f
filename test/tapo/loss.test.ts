import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import type { PartialTapoLoss } from '../../src/config/tapoLoss.ts';
import { klDivergence, klEstimate } from '../../src/tapo/kl.ts';
import { tapoLoss, type TapoLossOptions } from '../../src/tapo/loss.ts';
import { onEveryBackend } from '../support/backends.ts';
import { GOLDENS, type Golden, readGolden } from '../support/safetensors.ts';

const LIMIT = 1e-6;
const inputs = readGolden(new URL('tapo/inputs.safetensors', GOLDENS));
const goldens = readGolden(new URL('tapo/goldens.safetensors', GOLDENS));
const meta = JSON.parse(readFileSync(new URL('tapo/meta.json', GOLDENS), 'utf8')) as {
  accuracy: number[];
  policy_loss: Record<'token' | 'seq', { loss: number; metrics: Record<string, number> }>;
  composed: Record<
    string,
    { settings: Record<string, unknown>; micro_batch: number; metrics: Record<string, number | number[]> }
  >;
  paper: Record<'loss' | 'policy' | 'kl_inter' | 'entropy' | 'entropy_neg', number>;
};

function matrix({ shape, data }: Golden): number[][] {
  const [rows, columns] = shape as [number, number];
  return Array.from({ length: rows }, (_, b) => Array.from(data.slice(b * columns, (b + 1) * columns)));
}
const input = (name: string): number[][] => matrix(inputs[name] as Golden);
const given = {
  logProbs: input('log_probs'),
  oldLogProbs: input('old_log_probs'),
  negLogProbs: input('neg_log_probs'),
  advantages: input('advantages').map((row) => row[0] as number),
  mask: input('response_mask'),
  correct: meta.accuracy,
};

function without<T extends object, K extends keyof T>(record: T, key: K): Omit<T, K> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key)) as Omit<T, K>;
}

function expectClose(found: readonly number[], expected: ArrayLike<number>, what: string): void {
  expect(found).toHaveLength(expected.length);
  const worst = found.reduce(
    (most, value, i) => {
      const error = Math.abs(value - (expected[i] as number));
      return error > most.error || Number.isNaN(error)
        ? { i, value, expected: expected[i] as number, error }
        : most;
    },
    { i: -1, value: 0, expected: 0, error: 0 },
  );
  expect(worst.error, `${what}: ${JSON.stringify(worst)}`).toBeLessThan(LIMIT);
}
const gradient = (name: string): ArrayLike<number> => (goldens[name] as Golden).data;

/* What the released settings are here. */
function switchesOf(settings: Record<string, unknown>): PartialTapoLoss {
  const on = (name: string): number => Number(settings[name] ?? 0);
  return {
    entropyNegativeCoefficient: settings.use_aug_entropy_loss === true ? on('aug_entropy_loss_coef') : 0,
    entropyCoefficient: settings.use_ori_entropy_loss === true ? on('ori_entropy_loss_coef') : 0,
    klRef: { coefficient: settings.use_kl_loss === true ? on('kl_coef') : 0 },
    klInter: {
      clip: settings.use_kl_prcp_clipping === true ? on('kl_prcp_clipping') : null,
      topShare: settings.use_kl_prcp_token_level_mask === true ? on('kl_prcp_token_level_mask_top_p') : null,
    },
    sftCoefficient: settings.use_sft_loss === true ? on('sft_loss_coef') : 0,
    average: settings.loss_avg_mode === 'seq' ? 'sequence' : 'token',
  };
}

onEveryBackend(() => {
  it.each(['token', 'seq'] as const)(
    'has the surrogate, its shares and gradient, mean over %s',
    async (mode) => {
      const rest = without(given, 'negLogProbs');
      const average = mode === 'seq' ? 'sequence' : 'token';
      const { loss, metrics, gradients } = await tapoLoss(rest, { variant: 'dapo', average });
      const expected = meta.policy_loss[mode];
      expect(Math.abs(loss - expected.loss)).toBeLessThan(LIMIT);
      expect(Math.abs(metrics.ppoKl - (expected.metrics.ppo_kl as number))).toBeLessThan(LIMIT);
      const clipped = metrics.clippedLow + metrics.clippedHigh;
      expect(Math.abs(clipped - (expected.metrics.pg_clipfrac_higher as number))).toBeLessThan(LIMIT);
      expect(Math.abs(metrics.clippedDual - (expected.metrics.pg_clipfrac_lower as number))).toBeLessThan(
        LIMIT,
      );
      expectClose(gradients.logProbs.flat(), gradient(`policy.${mode}.grad_log_probs`), 'gradient');
    },
  );

  it.each(['kl', 'abs', 'mse', 'low_var_kl'] as const)('estimates KL by %s', (kind) => {
    const [p, q] = [given.logProbs, given.negLogProbs].map((rows) => tf.tensor2d(rows)) as [
      tf.Tensor,
      tf.Tensor,
    ];
    const { value, dLogProbs, dOther } = klEstimate(kind, p, q);
    expectClose(Array.from(value.dataSync()), gradient(`kl.${kind}.value`), 'value');
    expectClose(Array.from(dLogProbs.dataSync()), gradient(`kl.${kind}.grad_log_probs`), 'gradient');
    expectClose(
      Array.from(dOther.dataSync()),
      gradient(`kl.${kind}.grad_ref_log_probs`),
      'gradient of the other',
    );
  });

  it('computes KL of whole distributions, and its gradients', () => {
    const [p, q] = ['kl.full.log_probs', 'kl.full.ref_log_probs'].map((name) => {
      const { shape, data } = goldens[name] as Golden;
      return tf.tensor(data, shape);
    }) as [tf.Tensor, tf.Tensor];
    expectClose(Array.from(klDivergence(p, q).dataSync()), gradient('kl.full.value'), 'value');
    const [dp, dq] = tf.grads(klDivergence)([p, q]) as [tf.Tensor, tf.Tensor];
    expectClose(Array.from(dp.dataSync()), gradient('kl.full.grad_log_probs'), 'gradient');
    expectClose(Array.from(dq.dataSync()), gradient('kl.full.grad_ref_log_probs'), 'gradient of the other');
  });

  it.each(Object.entries(meta.composed))('composes the released loss: %s', async (name, recipe) => {
    const { settings, micro_batch, metrics: expected } = recipe;
    const { loss, metrics, gradients } = await tapoLoss(
      settings.use_kl_loss === true ? { ...given, refLogProbs: input('ref_log_probs') } : given,
      {
        variant: 'released',
        ...switchesOf(settings),
        responsesPerMicroBatch: micro_batch,
        annealing: Number(expected['actor/kl_prcp_coef_annealing_discount']),
      },
    );
    const losses = expected['actor/pg_loss'] as number[];
    const mean = losses.reduce((sum, x) => sum + x, 0) / losses.length;
    expect(Math.abs(loss - mean)).toBeLessThan(LIMIT);
    if (losses.length === 1) {
      expect(Math.abs(metrics.klInter + (expected['actor/kl_prcp_loss'] as number))).toBeLessThan(LIMIT);
      expect(Math.abs(metrics.entropyNegative - (expected['actor/aug_entropy_loss'] as number))).toBeLessThan(
        LIMIT,
      );
      const sft = expected['actor/sft_loss'];
      if (sft !== undefined) expect(Math.abs(metrics.sft - (sft as number))).toBeLessThan(LIMIT);
    }
    expectClose(gradients.logProbs.flat(), gradient(`composed.${name}.grad_log_probs`), 'gradient');
    expect(gradients.negLogProbs.flat().every((x) => x === 0)).toBe(true);
  });

  it("has the paper's loss, its parts, and both gradients", async () => {
    const { loss, metrics, gradients } = await tapoLoss(given, { variant: 'paper' });
    const { paper } = meta;
    expectClose(
      [loss, metrics.policy, metrics.klInter, metrics.entropy, metrics.entropyNegative],
      [paper.loss, paper.policy, paper.kl_inter, paper.entropy, paper.entropy_neg],
      'parts',
    );
    expectClose(gradients.logProbs.flat(), gradient('paper.grad_log_probs'), 'gradient');
    expectClose(
      gradients.negLogProbs.flat(),
      gradient('paper.grad_neg_log_probs'),
      'gradient of the negative',
    );
  });
});

describe('the gradient', () => {
  /* In float64-like precision: what is left of float32 is divided by the step. */
  const variants: [string, TapoLossOptions][] = [
    ['paper', { variant: 'paper' }],
    ['released', { variant: 'released', responsesPerMicroBatch: 4 }],
    ['dapo', { variant: 'dapo' }],
    ['grpo', { variant: 'grpo' }],
    ['dr-grpo', { variant: 'dr-grpo' }],
    ['gspo', { variant: 'gspo', clipLow: 0.1, clipHigh: 0.3 }],
    [
      'paper with all extras',
      {
        variant: 'paper',
        sftCoefficient: 0.1,
        klInter: { clip: 2, topShare: 0.5, coefficient: 0.3 },
        annealing: 0.4,
      },
    ],
  ];
  onEveryBackend(() => {
    it.each(variants)('is that of finite differences: %s', async (_, options) => {
      const all = { ...given, refLogProbs: input('ref_log_probs') };
      const { gradients } = await tapoLoss(all, options);
      const step = 2e-3;
      for (const [name, analytic] of [
        ['logProbs', gradients.logProbs],
        ...(options.variant === 'paper' ? ([['negLogProbs', gradients.negLogProbs]] as const) : []),
      ] as const) {
        for (const [b, l] of [
          [0, 2],
          [1, 1],
          [2, 3],
          [3, 2],
          [4, 0],
          [5, 1],
          [7, 1],
        ] as const) {
          const at = async (delta: number): Promise<number> => {
            const moved = all[name].map((row, i) => row.map((x, j) => (i === b && j === l ? x + delta : x)));
            return (await tapoLoss({ ...all, [name]: moved }, options)).loss;
          };
          const numeric = ((await at(step)) - (await at(-step))) / (2 * step);
          expect(Math.abs(numeric - (analytic[b]?.[l] as number)), `${name}[${b}][${l}]`).toBeLessThan(2e-4);
        }
      }
    });
  });
});

describe('wrong input', () => {
  onEveryBackend(() => {
    it('is named', async () => {
      await expect(
        tapoLoss({ ...given, oldLogProbs: given.oldLogProbs.slice(1) }, { variant: 'paper' }),
      ).rejects.toThrow('tapoLoss: oldLogProbs has 7 rows; expected 8 rows of 12, as logProbs has.');
      await expect(tapoLoss({ ...given, advantages: [1] }, { variant: 'paper' })).rejects.toThrow(
        'tapoLoss: advantages has 1 numbers; expected 8, one a response.',
      );
      const rest = without(given, 'correct');
      await expect(tapoLoss(rest, { variant: 'paper', sftCoefficient: 1 })).rejects.toThrow(
        'tapoLoss: sftCoefficient is not 0, but correct is missing; give 1 or 0 for each response.',
      );
      const mask = given.mask.map((row, b) => (b === 1 ? [0, ...row.slice(1)] : row));
      await expect(tapoLoss({ ...given, mask }, { variant: 'paper' })).rejects.toThrow(
        'row 1 of mask is not ones followed by zeros',
      );
    });
  });
});
