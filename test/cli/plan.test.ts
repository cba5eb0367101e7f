import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_OPTIONS } from '../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../src/data/synthetic/write.ts';
import type { Plan } from '../../src/stage/plan.ts';
import type { TapoPlan } from '../../src/stage/planTapo.ts';
import type { Advice } from '../../src/stage/planAdvice.ts';
import { DECODER_3B, makeHeadersOnly, makeRows } from '../stage/planSupport.ts';
import { runFiner1 } from '../support/cli.ts';

const CONFIG = fileURLToPath(new URL('../../configs/tiny-sft.yaml', import.meta.url));

let folder: string;
let rows: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-plan-'));
  rows = await makeRows(folder, 12);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const plan = (...set: string[]) =>
  runFiner1([
    ...['plan', '--config', CONFIG, '--set', `output=${join(folder, 'run')}`, `data.train=[${rows}]`],
    ...['data.validation=null', 'validation=null', 'steps=4', 'batch.rowsPerStep=8', ...set],
  ]);

describe('finer1 plan', () => {
  it('prints what a training takes, and starts none', async () => {
    const { code, stdout } = await plan('batch.rowsPerMicroBatch=4');
    expect(code).toBe(0);
    for (const name of [
      'Backend',
      'Parameters',
      'Rows',
      'Tokens',
      'Steps',
      'A step',
      'Time',
      'Disk',
      'Memory',
    ]) {
      expect(stdout).toMatch(new RegExp(`^${name}\\b`, 'm'));
    }
    expect(stdout).toMatch(/^Rows +12, 0 left out/m);
    expect(stdout).toMatch(/^A step +8 rows, 2 micro-batches/m);
    expect(stdout).toMatch(/^ {2}at once, at most +[\d.]+ [MG]iB/m);
    expect(stdout).toContain('It fits.');
    expect(existsSync(join(folder, 'run'))).toBe(false);
  });

  it('counts rows that are too long', async () => {
    const { code, stdout } = await plan('batch.rowsPerMicroBatch=4', 'data.cutoffTokens=80', '--json');
    const { data } = JSON.parse(stdout) as Plan;
    expect([code, data.rows + data.tooLong]).toEqual([0, 12]);
    expect(data.tooLong).toBeGreaterThan(0);
  });

  it('exits with 1 where a training will not fit, and says what to change', async () => {
    // 72 B parameters
    const model = makeHeadersOnly({
      ...DECODER_3B,
      ...{ hidden_size: 8192, num_hidden_layers: 80, num_attention_heads: 64, num_key_value_heads: 8 },
      intermediate_size: 29568,
    });
    const { code, stdout } = await plan(
      ...['batch.rowsPerMicroBatch=8', `model=${model}`, 'dtype=float32', '--json'],
    );
    rmSync(model, { recursive: true });
    expect(code).toBe(1);
    const { fits, memory, advice } = JSON.parse(stdout) as Plan & { advice: Advice[] };
    expect(fits.memory).toBe(false);
    expect(memory.totalBytes).toBeGreaterThan(1e12);
    expect(advice.map(({ set }) => set[0])).toEqual(expect.arrayContaining(['lora.r=16', 'dtype=bfloat16']));
  });

  it('says of a setting that is unknown which it may be', async () => {
    const { code, stderr } = await plan('batch.rowPerStep=4');
    expect(code).toBe(1);
    expect(stderr).toContain('rowsPerStep');
  });

  it('plans stage 2 where the config is of it', async () => {
    const birds = join(folder, 'birds');
    await writeSyntheticSet(birds, { ...DEFAULT_OPTIONS, difficulty: 'easy', testPictures: 4 });
    const config = fileURLToPath(new URL('../../configs/tiny-tapo.yaml', import.meta.url));
    const model = fileURLToPath(new URL('../../models/tiny-base', import.meta.url));
    const set = [
      `model=${model}`,
      `output=${join(folder, 'run')}`,
      `data.train=[${join(birds, 'triplets.jsonl')}]`,
    ];
    const more = ['batch.promptsPerStep=32', 'batch.promptsPerUpdate=16', 'rollout.n2=3'];
    const { code, stdout } = await runFiner1(['plan', '--config', config, '--set', ...set, ...more]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^A step +32 prompts, 256 responses, 2 updates of 2 micro-batches; checkpointing none$/m,
    );
    expect(stdout).toMatch(/^Time +.*: rollout [\d.]+ s, scoring [\d.]+ s, update [\d.]+ s a step/m);
    expect(stdout).toContain('It fits.');
    const large = await runFiner1([
      'plan',
      '--config',
      config,
      '--json',
      '--set',
      ...set,
      'rollout.responsesAtOnce=4000000',
      'batch.promptsPerStep=400000',
    ]);
    expect(large.code).toBe(1);
    const plan = JSON.parse(large.stdout) as TapoPlan;
    expect(plan.memory).toMatchObject({ peak: 'generation of responses' });
    expect(plan.fits.memory).toBe(false);
  });
});
