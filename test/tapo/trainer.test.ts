import { spawn, type SpawnOptions } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfigFile, toYaml } from '../../src/config/file.ts';
import { type TapoConfig, tapoSchema } from '../../src/config/tapo.ts';
import { DEFAULT_OPTIONS } from '../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../src/data/synthetic/write.ts';
import { replay } from '../../src/tapo/replay.ts';
import { trainTapo } from '../../src/tapo/trainer.ts';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'finer1-tapo-'));
const STEPS = 3;
const rewardFile = join(folder, 'reward.mjs');
const triplets = (): string => join(folder, 'birds', 'triplets.jsonl');

/* The base model names no kinds yet: what earns is a caption's length, so that there is something to learn. */
const REWARD = `export const reward = (response, label) => {
  const right = response.includes('<answer>' + label + '</answer>') && !/^<think>.*<answer>.*<.think>/s.test(response);
  if (/<answer>/.test(response)) return right && response.split('<answer>').length === 2 ? 1 : 0;
  return { overall: /[a-z]/.test(response) && response.length % 2 ? 0.4 : 0, accuracy: response.length % 2 };
};`;

const settings = (name: string, more: readonly string[] = []): string[] => [
  `model=${path('models/tiny-base')}`,
  `output=${join(folder, name)}`,
  `data.train=[${triplets()}]`,
  'data.validation=null',
  'validation=null',
  `steps=${STEPS}`,
  'reward.kind=module',
  `reward.module=${rewardFile}`,
  'rollout.n1=3',
  'rollout.n2=2',
  'rollout.maxNewTokens=16',
  'rollout.promptsAtOnce=6',
  'batch.promptsPerStep=4',
  'batch.promptsPerUpdate=2',
  'batch.responsesPerMicroBatch=5',
  'checkpoints.everySteps=1',
  'checkpoints.keepLast=9',
  'alarms.maxTruncated=1',
  'alarms.minFormat=0',
  ...more,
];
const configOf = (name: string, more: readonly string[] = []): TapoConfig =>
  loadConfigFile(path('configs/tiny-tapo.yaml'), tapoSchema, settings(name, more));
const checkpoint = (name: string, step = STEPS): string => join(folder, name, 'checkpoints', `step-${step}`);

/* Hashes of all files of a checkpoint, the training's state included, and all generations. */
function contentOf(name: string, step = STEPS): Record<string, string> {
  const files = readdirSync(checkpoint(name, step), { recursive: true, encoding: 'utf8' });
  const read = (file: string): string =>
    createHash('sha256')
      .update(readFileSync(join(checkpoint(name, step), file)))
      .digest('hex');
  const entries = files.filter((file) => file.includes('.')).map((file) => [file, read(file)]);
  return {
    ...(Object.fromEntries(entries) as Record<string, string>),
    generations: readFileSync(join(folder, name, 'generations.jsonl'), 'utf8'),
  };
}
const rowsOf = (name: string, file: string): Record<string, unknown>[] =>
  readFileSync(join(folder, name, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  writeFileSync(rewardFile, REWARD);
  await writeSyntheticSet(join(folder, 'birds'), { ...DEFAULT_OPTIONS, difficulty: 'easy', testPictures: 4 });
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('trainTapo', () => {
  it('trains, and writes down every response with what it earned', async () => {
    const result = await trainTapo(configOf('whole'), { resume: false });
    expect(result).toMatchObject({ finished: true, checkpoint: checkpoint('whole') });
    const steps = rowsOf('whole', 'metrics.jsonl');
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
    for (const step of steps) {
      expect(step.logProbDifference).toBeLessThan(1e-3);
      expect(step['loss/klInter']).toBeGreaterThan(0);
      for (const phase of ['rollout', 'score', 'update']) {
        expect(step[`tokensPerSecond/${phase}`], phase).toBeGreaterThan(0);
      }
      expect(step.gradientNorm).toBeGreaterThan(0);
    }
    // Two updates a step: the second is by a policy that has moved.
    expect(steps[1]?.['loss/ratioMax']).toBeGreaterThan(1);
    const rows = rowsOf('whole', 'generations.jsonl');
    const drawn = steps.reduce((sum, step) => sum + (step['groups/drawn'] as number), 0);
    expect(rows).toHaveLength(5 * drawn);
    expect(rows[0]).toMatchObject({ step: 1, group: 0, picture: 'anchor', sample: 0 });
    const trained = rows.filter((row) => row.trained === true);
    expect(trained).toHaveLength(STEPS * 4 * 5);
    for (let from = 0; from < trained.length; from += 5) {
      const sum = trained.slice(from, from + 5).reduce((all, row) => all + (row.advantage as number), 0);
      expect(Math.abs(sum)).toBeLessThan(1e-6);
    }
  });

  it('is replayed: the same numbers again, and others under another objective', async () => {
    const run = join(folder, 'whole');
    const again = await replay(run, 2, configOf('whole'), false);
    expect(again.responses).toBe(20);
    for (const { name, recorded, replayed } of again.terms) {
      expect(Math.abs(replayed - (recorded as number)), name).toBeLessThan(1e-5);
    }
    for (const { recorded, replayed } of again.advantages) expect(replayed).toBeCloseTo(recorded, 6);
    const dapo = await replay(run, 2, configOf('whole', ['variant=dapo']), false);
    const of = ({ terms }: typeof dapo, name: string): number =>
      terms.find((term) => term.name === name)?.replayed as number;
    expect(of(dapo, 'policy')).not.toBe(of(again, 'policy'));
    const strict = ['reward.kind=strict', 'reward.module=null'];
    const other = await replay(run, 2, configOf('whole', strict), true);
    expect(other.advantages.every(({ replayed }) => replayed === 0)).toBe(true);
    await expect(replay(run, 9, configOf('whole'), false)).rejects.toThrow(
      'has no trained responses of step 9; give one of the steps of its metrics.jsonl.',
    );
  });

  it.each([
    ['released', []],
    // Block by block there is less for XLA to compile, which takes most of the time here.
    ['paper', ['variant=paper', 'steps=2', 'checkpointing=blocks']],
    [
      'adapter',
      ['lora={r: 2, alpha: 4}', 'loss={klRef: {coefficient: 0.1}}', 'steps=2', 'checkpointing=blocks'],
    ],
  ])('goes on after a stop within a step as if there had been none: %s', async (variant, more) => {
    const stopped = `stopped ${variant}`;
    const straight = variant === 'released' ? 'whole' : `straight ${variant}`;
    if (straight !== 'whole') await trainTapo(configOf(straight, more), { resume: false });
    const controller = new AbortController();
    const watch = setInterval(() => {
      if (existsSync(checkpoint(stopped, 1))) setTimeout(() => controller.abort(new Error('stop')), 50);
    }, 1);
    const first = await trainTapo(configOf(stopped, more), { resume: false, signal: controller.signal });
    clearInterval(watch);
    expect(first.finished).toBe(false);
    const second = await trainTapo(configOf(stopped, more), { resume: true });
    expect(second.finished).toBe(true);
    const { step } = second.state;
    expect(contentOf(stopped, step)).toEqual(contentOf(straight, step));
  });

  it('saves and stops where an alarm sounds', async () => {
    const config = configOf('alarm', ['alarms.minFormat=0.9', 'alarms.afterSteps=2', 'steps=9']);
    await expect(trainTapo(config, { resume: false })).rejects.toThrow(
      /The run was stopped: for 2 steps, 0\.0 % of the responses are in the right form \(alarms\.minFormat: 90\.0 %\).*Saved as .*step-2/,
    );
    expect(existsSync(checkpoint('alarm', 2))).toBe(true);
    const facts: unknown = JSON.parse(readFileSync(join(folder, 'alarm', 'run.json'), 'utf8'));
    const reason: unknown = expect.stringContaining('The run was stopped: for 2 steps');
    expect(facts).toMatchObject({ sessions: [{ outcome: 'failed', reason }] });
  });

  it('says what dynamic sampling found where it cannot fill a batch', async () => {
    const config = configOf('exhausted', [
      'reward.kind=released',
      'reward.module=null',
      'filter.whenExhausted=stop',
      'filter.maxTries=2',
      'filter.keepAllWhenNone=false',
    ]);
    await expect(trainTapo(config, { resume: false })).rejects.toThrow(
      'Dynamic sampling drew 12 prompts in 2 tries and kept 0 groups; batch.promptsPerStep is 4. 0 were always right, 12 always wrong. The model hardly ever finds the right name: fine-tune it longer first',
    );
  });

  it('keeps all groups where none passes, as released', async () => {
    const config = configOf('keep', [
      'reward.kind=released',
      'reward.module=null',
      'steps=1',
      'dtype=float32',
    ]);
    await trainTapo(config, { resume: false });
    const [step] = rowsOf('keep', 'metrics.jsonl');
    expect(step).toMatchObject({ 'groups/acceptance': 0, 'groups/alwaysWrong': 1, tries: 1 });
  });
});

describe('what cannot be trained on', () => {
  const lines = (): Record<string, unknown>[] =>
    readFileSync(triplets(), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const withRows = (name: string, change: (row: Record<string, unknown>, i: number) => object): string => {
    const file = join(folder, 'birds', `${name}.jsonl`);
    writeFileSync(
      file,
      lines()
        .slice(0, 6)
        .map((row, i) => JSON.stringify(change(row, i)))
        .join('\n'),
    );
    return file;
  };

  it('a missing picture: the row and the file', async () => {
    const file = withRows('missing', (row, i) =>
      i === 2 ? { ...row, image_aug: ['images/none.png'] } : row,
    );
    await expect(trainTapo(configOf('missing', [`data.train=[${file}]`]), { resume: false })).rejects.toThrow(
      `1 of 6 triplets cannot be used:\n${file}, row 3: ${join(folder, 'birds', 'images/none.png')} cannot be used as a picture`,
    );
  });

  it('prompts over the limit', async () => {
    await expect(trainTapo(configOf('long', ['data.maxPromptTokens=5']), { resume: false })).rejects.toThrow(
      /None of the \d+ triplets has a prompt of at most 5 tokens; the shortest has \d+\. Raise data\.maxPromptTokens, or lower data\.maxPixels\./,
    );
  });

  it.each([
    [
      'pays for exploits',
      `export const reward = (r, label) => Number(r.includes(label));`,
      'pays for what it should not: all candidates at once',
    ],
    [
      'throws',
      `export const reward = () => { throw new Error('no idea'); };`,
      'The reward throws for an honest right response',
    ],
    [
      'gives no number',
      `export const reward = () => NaN;`,
      'The reward gives NaN for an honest right response',
    ],
    ['is no function', `export const rewards = 1;`, 'exports rewards; expected a function `reward`'],
    ['is no module', `export const`, 'cannot be loaded'],
  ])('a reward that %s', async (name, source, message) => {
    const file = join(folder, `${name.replaceAll(' ', '-')}.mjs`);
    writeFileSync(file, source);
    const config = configOf(`reward ${name}`, [`reward.module=${file}`]);
    await expect(trainTapo(config, { resume: false })).rejects.toThrow(message);
  });
});

describe('finer1 tapo', () => {
  const spawned = (file: string, resume: boolean) => {
    const options: SpawnOptions = { stdio: 'ignore' };
    const more = resume ? ['--resume'] : [];
    return spawn('node', [path('bin/finer1.js'), 'tapo', '--config', file, ...more], options);
  };
  const list = (name: string): string[] =>
    existsSync(join(folder, name, 'checkpoints')) ? readdirSync(join(folder, name, 'checkpoints')) : [];
  const done = (name: string): number => list(name).filter((one) => one.startsWith('step-')).length;

  it('goes on after kill -9 in rollout, scoring, update and save, to the same bytes', async () => {
    const steps = 5;
    await trainTapo(configOf('straight', [`steps=${steps}`]), { resume: false });
    const name = 'killed';
    const file = join(folder, `${name}.yaml`);
    writeFileSync(file, toYaml(configOf(name, [`steps=${steps}`])));
    // A process's second step has compiled functions already, as the last one of the other run.
    const last = rowsOf('straight', 'metrics.jsonl').at(-1);
    const [rollout, score, update] = ['rollout', 'score', 'update'].map(
      (phase) => 1000 * (last?.[`seconds/${phase}`] as number),
    ) as [number, number, number];
    const moments = [rollout / 2, rollout + score / 2, rollout + score + update / 2];
    for (const moment of moments) {
      const before = done(name);
      const child = spawned(file, before > 0);
      const ended = once(child, 'exit');
      while (child.exitCode === null && done(name) <= before) await wait(1);
      await wait(moment);
      expect(child.kill('SIGKILL')).toBe(true);
      await ended;
    }
    const child = spawned(file, true);
    const ended = once(child, 'exit');
    while (child.exitCode === null && !list(name).some((one) => !one.startsWith('step-'))) await wait(1);
    expect(child.kill('SIGKILL')).toBe(true);
    await ended;
    expect(done(name)).toBeLessThan(steps);
    expect(await once(spawned(file, true), 'exit')).toEqual([0, null]);
    expect(contentOf(name, steps)).toEqual(contentOf('straight', steps));
  });
});

it('keeps what was there when a run is begun in its folder', async () => {
  cpSync(join(folder, 'whole'), join(folder, 'copy'), { recursive: true });
  await expect(trainTapo(configOf('copy'), { resume: false })).rejects.toThrow(
    /holds a run already .*--resume/,
  );
  expect(contentOf('copy')).toEqual(contentOf('whole'));
});
