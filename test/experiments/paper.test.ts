import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openRows, readTraining, stepsOf } from '../../experiments/support/paper.ts';
import { path } from '../../scripts/pipeline.ts';
import { loadConfigFile } from '../../src/config/file.ts';
import { sftSchema } from '../../src/config/sft.ts';
import { decided, type TapoConfig, tapoSchema } from '../../src/config/tapo.ts';

const inFolder = (experiment: string, name: string): string => path(`experiments/${experiment}/${name}`);
const tapo = (experiment: string, name: string): TapoConfig =>
  loadConfigFile(inFolder(experiment, `${name}.yaml`), tapoSchema);
const VARIANTS = ['dapo', 'without-intra', 'without-inter', 'ratio-8-2', 'ratio-2-8'] as const;

/* Of a config, what no ablation may change. */
const common = ({ rollout, ...config }: TapoConfig): object => {
  expect(rollout.n1 + rollout.n2, `${config.output}: responses a prompt`).toBe(10);
  return { ...config, output: '', variant: '', loss: {}, rollout: { ...rollout, n1: 0, n2: 0 } };
};
/* What makes the variants: responses on anchor and positive, weights of KL_inter and the entropies. */
const parts = (config: TapoConfig): number[] => {
  const { klInter, entropyCoefficient, entropyNegativeCoefficient } = decided(config).loss;
  return [
    config.rollout.n1,
    config.rollout.n2,
    klInter.coefficient,
    entropyCoefficient,
    entropyNegativeCoefficient,
  ];
};

describe.each([
  ['ablations', 'ablations', 'tapo'],
  ['paper-ablations', 'base-to-new', '3b-tapo'],
])('experiments/%s', (experiment, ...[folder, name]: [string, string]) => {
  const whole = tapo(folder, name);

  it('leaves each variant as many responses, steps and updates from the same checkpoint', () => {
    for (const variant of VARIANTS) expect(common(tapo(experiment, variant))).toEqual(common(whole));
  });

  it('takes from each variant what its name says', () => {
    expect(parts(whole)).toEqual([5, 5, 0.01, 0.03, 0.03]);
    expect(VARIANTS.map((variant) => parts(tapo(experiment, variant)))).toEqual([
      [10, 0, 0, 0, 0],
      [10, 0, 0.01, 0.03, 0.03],
      [5, 5, 0, 0, 0],
      [8, 2, 0.01, 0.03, 0.03],
      [2, 8, 0.01, 0.03, 0.03],
    ]);
  });

  it('changes nothing else of the objective', () => {
    const rest = (config: TapoConfig): object => {
      const { loss } = decided(config);
      return { ...loss, klInter: {}, entropyCoefficient: 0, entropyNegativeCoefficient: 0 };
    };
    for (const variant of VARIANTS.filter((one) => one !== 'dapo')) {
      expect(rest(tapo(experiment, variant))).toEqual(rest(whole));
    }
  });
});

describe('experiments/base-to-new', () => {
  it.each(['3b', '7b'])('has the stages of configs/ for the %s, in folders of its own', (size) => {
    const sft = loadConfigFile(inFolder('base-to-new', `${size}-sft.yaml`), sftSchema);
    const released = loadConfigFile(path(`configs/fine-r1-${size}-sft.yaml`), sftSchema);
    expect({ ...sft, output: '', data: { ...sft.data, train: [] } }).toEqual({
      ...released,
      output: '',
      data: { ...released.data, train: [] },
    });
    const second = tapo('base-to-new', `${size}-tapo`);
    expect(second.model).toBe(join(sft.output, 'checkpoints/step-70'));
  });

  it('trains a row in two stages, then tests it in both worlds', async () => {
    const { folder, rows } = await openRows('base-to-new', 'fine-r1-3b');
    const [row] = rows;
    const commands = row === undefined ? [] : stepsOf(folder, row).map(({ command }) => command.join(' '));
    const test =
      'eval --model runs/base-to-new/3b-tapo/checkpoints/step-N --data data/fine-r1/eval --images data/fine-r1';
    expect(commands).toEqual([
      'sft --config experiments/base-to-new/3b-sft.yaml',
      'tapo --config experiments/base-to-new/3b-tapo.yaml',
      `${test} --out runs/base-to-new/fine-r1-3b-closed`,
      `${test} --open-world --siglip google/siglip-base-patch16-256 --out runs/base-to-new/fine-r1-3b-open`,
    ]);
  });

  it('names the rows that there are where one is wrong', async () => {
    await expect(openRows('base-to-new', '3b')).rejects.toThrow(
      'base-to-new has no row 3b; it has qwen2.5-vl-3b, qwen2.5-vl-7b, fine-r1-3b, fine-r1-7b.',
    );
    await expect(openRows('table-1')).rejects.toThrow('base-to-new, paper-ablations');
  });
});

describe('experiments/paper-ablations', () => {
  it('has a config for every training of its rows', async () => {
    const { folder, rows } = await openRows('paper-ablations');
    expect(rows.map(({ name }) => name)).toEqual(['sft', 'dapo', 'tapo', ...VARIANTS.slice(1)]);
    const stages = rows.map(({ trainings = [] }) =>
      trainings.map((one) => readTraining(join(folder, one)).stage),
    );
    expect(stages).toEqual([['sft'], ...Array<string[]>(6).fill(['sft', 'tapo'])]);
  });
});
