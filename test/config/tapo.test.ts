import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfigFile } from '../../src/config/file.ts';
import { decided, tapoSchema } from '../../src/config/tapo.ts';

const CONFIGS = fileURLToPath(new URL('../../configs/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'finer1-tapo-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the paper's configs", () => {
  it('have the sizes, clips and coefficients of the 3B', () => {
    const config = loadConfigFile(`${CONFIGS}fine-r1-3b-tapo.yaml`, tapoSchema);
    expect(config.batch).toMatchObject({
      promptsPerStep: 384,
      promptsPerUpdate: 128,
      responsesPerMicroBatch: 4,
    });
    expect(config.rollout).toMatchObject({ n1: 5, n2: 5, temperature: 1, topP: 0.99, promptsAtOnce: 128 });
    expect(config.optimiser).toMatchObject({
      learningRate: 1e-6,
      weightDecay: 0.01,
      clipNorm: 1,
      kahan: true,
    });
    expect(config).toMatchObject({ epochs: 10, freeze: [] });
    const { loss, filters, keepAllWhenNone } = decided(config);
    expect(loss).toMatchObject({
      clipLow: 0.2,
      clipHigh: 0.28,
      dualClip: 3,
      accumulation: 'mean-of-means',
      klInter: { coefficient: 0.01, estimator: 'low_var_kl' },
      entropyCoefficient: 0.03,
      entropyNegativeCoefficient: 0.03,
      klRef: { coefficient: 0 },
      negativeGradient: false,
      trainPositiveOn: 'positive',
    });
    expect({ filters, keepAllWhenNone }).toEqual({ filters: true, keepAllWhenNone: true });
  });

  it('have half the prompts for the 7B', () => {
    const config = loadConfigFile(`${CONFIGS}fine-r1-7b-tapo.yaml`, tapoSchema);
    expect(config.batch).toMatchObject({ promptsPerStep: 192, promptsPerUpdate: 64 });
    expect(config.rollout.promptsAtOnce).toBe(64);
    expect(config.epochs).toBe(5);
  });

  it("differ from the released code's in the paper's variant", () => {
    const config = loadConfigFile(`${CONFIGS}fine-r1-3b-tapo.yaml`, tapoSchema, ['variant=paper']);
    expect(decided(config)).toMatchObject({
      loss: { accumulation: 'token-mean', negativeGradient: true, trainPositiveOn: 'anchor' },
      keepAllWhenNone: false,
    });
  });

  it("keep stage 2's learning rate, decay and schedule where only others of their settings are given", () => {
    const config = loadConfigFile(`${CONFIGS}fine-r1-3b-tapo.yaml`, tapoSchema, [
      'optimiser={clipNorm: 0.5}',
      'schedule={warmupSteps: 3}',
    ]);
    expect(config.optimiser).toMatchObject({ learningRate: 1e-6, weightDecay: 0.01, clipNorm: 0.5 });
    expect(config.schedule).toEqual({ kind: 'constant', warmupSteps: 3 });
  });

  it('take single switches', () => {
    const config = loadConfigFile(`${CONFIGS}tiny-tapo.yaml`, tapoSchema, [
      'loss.klInter.clip=0.2',
      'loss.klInter.coefficient=0.02',
      'loss.entropyCoefficient=0',
    ]);
    expect(decided(config).loss).toMatchObject({
      klInter: { clip: 0.2, coefficient: 0.02, estimator: 'low_var_kl', topShare: null },
      entropyCoefficient: 0,
      entropyNegativeCoefficient: 0.03,
    });
  });
});

describe('a config that does not fit', () => {
  const base = 'model: m\noutput: o\nsteps: 1\ndata: { train: [t.jsonl] }\n';
  it.each([
    [
      'batch: { promptsPerStep: 4, promptsPerUpdate: 8 }',
      'promptsPerUpdate: 8 is more than promptsPerStep, 4; give at most that.',
    ],
    ['rollout: { n1: 1, n2: 0 }', 'a group of one response has no advantage; give n1 + n2 of 2 at least.'],
    ['reward: { kind: module }', 'kind is module, but no file is given; give its path.'],
    ['reward: { module: r.mjs }', 'it is given, but kind is released; set kind: module, or take it out.'],
    ['filter: { low: 0.9, high: 0.5 }', '0.9 is not below high, 0.5: every group would go.'],
    ['epochs: 2', 'epochs and steps are both given; give one'],
    ['rollout: { nl: 5 }', 'n1'],
    ['variant: papr', 'paper'],
    ['loss: { klInter: { coeficient: 1 } }', 'coefficient'],
  ])('%s', (text, message) => {
    const file = join(folder, 'config.yaml');
    writeFileSync(file, base + text + '\n');
    expect(() => loadConfigFile(file, tapoSchema)).toThrow(message);
    expect(() => loadConfigFile(file, tapoSchema)).toThrow(file);
  });
});
