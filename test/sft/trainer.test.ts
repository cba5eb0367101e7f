import { execFileSync, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPython } from '../../bench/support/peer.ts';
import { loadModel } from '../../src/index.ts';
import { loadConfigFile, toYaml } from '../../src/config/file.ts';
import { type SftConfig, sftSchema } from '../../src/config/sft.ts';
import { DEFAULT_OPTIONS } from '../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../src/data/synthetic/write.ts';
import { trainSft } from '../../src/sft/trainer.ts';
import { replaceFile } from '../../src/model/safetensors.ts';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'finer1-sft-'));
const STEPS = 4;

const settings = (name: string, more: readonly string[] = []): string[] => [
  `output=${join(folder, name)}`,
  `data.train=[${join(folder, 'birds', 'sft.json')}]`,
  'data.validation=null',
  'validation=null',
  `steps=${STEPS}`,
  'schedule.warmupSteps=1',
  'batch.rowsPerStep=8',
  'batch.rowsPerMicroBatch=4',
  'checkpoints.everySteps=1',
  'checkpoints.keepLast=9',
  ...more,
];
const configOf = (name: string, more: readonly string[] = []): SftConfig =>
  loadConfigFile(path('configs/tiny-sft.yaml'), sftSchema, settings(name, more));
const checkpoint = (name: string, step = STEPS): string => join(folder, name, 'checkpoints', `step-${step}`);

/* All files of a checkpoint, the training's state included. */
function contentOf(name: string): Record<string, string> {
  const files = readdirSync(checkpoint(name), { recursive: true, encoding: 'utf8' });
  const read = (file: string): string => readFileSync(join(checkpoint(name), file), 'base64');
  return Object.fromEntries(files.filter((file) => file.includes('.')).map((file) => [file, read(file)]));
}
const metrics = (name: string): Record<string, number>[] =>
  readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);

beforeAll(async () => {
  await writeSyntheticSet(join(folder, 'birds'), { ...DEFAULT_OPTIONS, difficulty: 'easy', testPictures: 4 });
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('trainSft', () => {
  it('trains: the loss falls, and the checkpoint is a model that answers', async () => {
    const result = await trainSft(configOf('whole'), { resume: false });
    expect(result).toMatchObject({ finished: true, checkpoint: checkpoint('whole') });
    const rows = metrics('whole');
    expect(rows.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(rows.at(-1)?.loss).toBeLessThan(rows[0]?.loss as number);
    using model = await loadModel(checkpoint('whole'), { backend: 'tensorflow' });
    const inputs = await model.prepare([{ role: 'user', content: 'what bird is this?' }]);
    const { tokens } = await model.generate(inputs, { maxNewTokens: 2 });
    expect(tokens[0]?.length).toBeGreaterThan(0);
  });

  it.each([
    ['all of the language model', []],
    // Block by block there is less for XLA to compile, which takes most of the time here.
    ['an adapter', ['lora={r: 2, alpha: 4}', 'checkpointing=blocks']],
    [
      'bfloat16 weights with compensated updates',
      ['dtype=bfloat16', 'optimiser.kahan=true', 'checkpointing=blocks'],
    ],
  ])('goes on after a stop as if there had been none: %s', async (name, more) => {
    const [straight, stopped] = [`straight ${name}`, `stopped ${name}`];
    await trainSft(configOf(straight, more), { resume: false });
    const controller = new AbortController();
    const watch = setInterval(() => {
      if (existsSync(checkpoint(stopped, 2))) controller.abort();
    }, 1);
    const first = await trainSft(configOf(stopped, more), { resume: false, signal: controller.signal });
    clearInterval(watch);
    expect(first.finished).toBe(false);
    expect(first.state.step).toBeGreaterThanOrEqual(2);
    const second = await trainSft(configOf(stopped, more), { resume: true });
    expect(second.finished).toBe(true);
    expect(contentOf(stopped)).toEqual(contentOf(straight));
    const losses = (run: string): (number | undefined)[] => metrics(run).map(({ loss }) => loss);
    expect(losses(stopped)).toEqual(losses(straight));
  });

  it('ends after steps that are not finite, which change nothing', async () => {
    const config = configOf('bad', [
      'optimiser.learningRate=1e30',
      'schedule.warmupSteps=0',
      'maxBadSteps=2',
      'steps=9',
    ]);
    await expect(trainSft(config, { resume: false })).rejects.toThrow(
      /2 steps in a row, up to step \d, were not finite .*Lower optimiser\.learningRate/,
    );
    expect(metrics('bad').filter(({ skipped }) => skipped === 1).length).toBeGreaterThan(0);
  });

  it('refuses to begin where a run is, and says how to go on', async () => {
    await expect(trainSft(configOf('whole'), { resume: false })).rejects.toThrow(
      /holds a run already .*--resume/,
    );
    expect(existsSync(checkpoint('whole'))).toBe(true);
  });
});

describe('finer1 sft', () => {
  const spawned = (name: string, more: readonly string[] = []) => {
    const file = join(folder, `${name}.yaml`);
    replaceFile(file, (write) => {
      write(Buffer.from(toYaml(configOf(name))));
    });
    const options: SpawnOptions = { stdio: 'ignore' };
    return spawn('node', [path('bin/finer1.js'), 'sft', '--config', file, ...more], options);
  };

  it('goes on after kill -9 at any moment, to the same bytes', async () => {
    const name = 'killed';
    let kills = 0;
    for (let attempt = 0; !existsSync(checkpoint(name)); attempt++) {
      const started = existsSync(join(folder, name, 'run.json'));
      const child = spawned(name, started ? ['--resume'] : []);
      const ended = once(child, 'exit');
      // The first attempts are killed some time after the next checkpoint is begun.
      const before = checkpointsOf(name);
      while (attempt < 3 && child.exitCode === null && checkpointsOf(name) <= before) await wait(5);
      if (attempt < 3) {
        await wait(Math.random() * 100);
        kills += Number(child.kill('SIGKILL'));
      }
      await ended;
      expect(attempt).toBeLessThan(9);
    }
    expect(kills).toBeGreaterThan(0);
    expect(contentOf(name)).toEqual(contentOf('whole'));
  });

  it('saves on Ctrl-C, and ends with its status', async () => {
    const child = spawned('interrupted', ['--set', 'steps=50']);
    const ended = once(child, 'exit') as Promise<[number]>;
    while (child.exitCode === null && checkpointsOf('interrupted') === 0) await wait(20);
    child.kill('SIGINT');
    expect((await ended)[0]).toBe(130);
    expect(checkpointsOf('interrupted')).toBeGreaterThan(0);
  });

  const checkpointsOf = (name: string): number =>
    existsSync(join(folder, name, 'checkpoints'))
      ? readdirSync(join(folder, name, 'checkpoints')).filter((one) => one.startsWith('step-')).length
      : 0;
});

const python = findPython();
describe.skipIf(python === undefined)(
  'transformers (a Python with torch and transformers in VIRTUAL_ENV or .venv)',
  () => {
    it('loads a checkpoint, and gives the same logits', async () => {
      using model = await loadModel(checkpoint('whole'), { backend: 'tensorflow', dtype: 'float32' });
      const inputs = await model.prepare([{ role: 'user', content: 'what kind of bird is this?' }]);
      const ours = await model.logits(inputs);
      const script = `
import json, sys, torch
from transformers import Qwen2_5_VLForConditionalGeneration
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
ids = torch.tensor(json.loads(sys.argv[2]))
with torch.no_grad():
    print(json.dumps(model(input_ids=ids).logits.flatten().tolist()))`;
      const output = execFileSync(
        python as string,
        ['-c', script, checkpoint('whole'), JSON.stringify(inputs.inputIds)],
        { encoding: 'utf8', maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] },
      );
      const theirs = JSON.parse(output.trim().split('\n').at(-1) as string) as number[];
      expect(theirs.length).toBe(ours.data.length);
      const largest = Math.max(...theirs.map((value, i) => Math.abs(value - (ours.data[i] as number))));
      expect(largest).toBeLessThan(1e-5);
    });
  },
);
