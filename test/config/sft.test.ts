import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { configDocs } from '../../scripts/configDocs.ts';
import { editorSchemas } from '../../src/config/editorSchemas.ts';
import { loadConfigFile } from '../../src/config/file.ts';
import { sftSchema } from '../../src/config/sft.ts';

const CONFIGS = fileURLToPath(new URL('../../configs', import.meta.url));
const load = (name: string) => loadConfigFile(join(CONFIGS, name), sftSchema);

describe('configs', () => {
  /* Section 4.1 of the paper; the released stage 1: 4 rows x 4 micro-batches x 4 GPUs, mean of means. */
  it.each(['3b', '7b'])('fine-r1-%s-sft.yaml has the values of the paper', (size) => {
    const config = load(`fine-r1-${size}-sft.yaml`);
    expect(config).toMatchObject({
      model: `Qwen/Qwen2.5-VL-${size.toUpperCase()}-Instruct`,
      epochs: 10,
      data: { cutoffTokens: 4096, pictures: 'released', preSize: 'sft' },
      freeze: ['visual.*'],
      optimiser: {
        learningRate: 5e-6,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weightDecay: 0.1,
        decayNormsAndBiases: false,
        clipNorm: 1,
        // Plain updates of bfloat16 weights would be lost: 5e-6 is far below half a step between neighbours.
        kahan: true,
      },
      schedule: { kind: 'cosine', warmupSteps: 6 },
      batch: { rowsPerStep: 64, rowsPerMicroBatch: 4, accumulation: 'mean-of-means' },
    });
    expect(config.output).toBe(join(CONFIGS, `../runs/fine-r1-${size}-sft`));
  });

  it('tiny-sft.yaml has those that were tried', () => {
    expect(load('tiny-sft.yaml')).toMatchObject({
      model: join(CONFIGS, '../models/tiny-base'),
      output: join(CONFIGS, '../runs/tiny-sft'),
      data: { train: [join(CONFIGS, '../data/birds/sft.json')] },
      steps: 500,
      batch: { rowsPerStep: 16 },
      optimiser: { learningRate: 3e-3 },
      freeze: ['visual.*'],
    });
  });
});

describe('editorSchemas', () => {
  it.each(Object.entries(editorSchemas()))(
    '%s.json is up to date (npx tsx scripts/write-schemas.ts)',
    (name, schema) => {
      const written: unknown = JSON.parse(readFileSync(join(CONFIGS, 'schemas', `${name}.json`), 'utf8'));
      expect(written).toEqual(JSON.parse(JSON.stringify(schema)));
    },
  );

  it('are listed in docs/configs.md (npx tsx scripts/write-schemas.ts)', async () => {
    const page = join(CONFIGS, '../docs/configs.md');
    const style = { ...(await resolveConfig(page)), parser: 'markdown' };
    expect(readFileSync(page, 'utf8')).toBe(await format(configDocs(editorSchemas()), style));
  });

  it('describes every setting', () => {
    const bare = (schema: Record<string, unknown>, path: string): string[] =>
      Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>).flatMap(
        ([key, child]) => [
          ...(child.description === undefined ? [`${path}${key}`] : []),
          ...bare(child, `${path}${key}.`),
        ],
      );
    for (const schema of Object.values(editorSchemas())) {
      expect(bare(schema as Record<string, unknown>, '')).toEqual([]);
    }
  });
});
