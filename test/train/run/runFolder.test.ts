import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/common/errors.ts';
import { FINER1_VERSION } from '../../../src/common/version.ts';
import { loadConfigFile } from '../../../src/config/file.ts';
import { sftSchema } from '../../../src/config/sft.ts';
import { replaceFolder } from '../../../src/model/modelFolder.ts';
import {
  checkpointFolder,
  listCheckpoints,
  newestCheckpoint,
  pruneCheckpoints,
} from '../../../src/train/run/checkpoints.ts';
import { openRun } from '../../../src/train/run/runFolder.ts';
import { runModule } from '../../support/child.ts';
import { readEvents } from './events.ts';

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'finer1-run-'));
  folder = join(parent, 'runs/one');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

const CONFIG = { seed: 1, nested: { list: [1, 2] } };
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
const rowsOf = (name: string): Record<string, unknown>[] =>
  read(name)
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const factsOf = (): Record<string, unknown> & { sessions: Record<string, unknown>[] } =>
  JSON.parse(read('run.json')) as ReturnType<typeof factsOf>;
const saveCheckpoint = (step: number): void => {
  replaceFolder(checkpointFolder(folder, step), (fresh) => {
    writeFileSync(join(fresh, 'weights'), String(step));
  });
};

describe('openRun', () => {
  it('writes what is going to run before any work', () => {
    writeFileSync(
      join(parent, 'c.yaml'),
      'model: a/b\noutput: runs/one\ndata: { train: [rows.json] }\nsteps: 2\nlora: {}\n',
    );
    const config = loadConfigFile(join(parent, 'c.yaml'), sftSchema);
    using run = openRun(folder, { config, resume: false });
    expect(run.resumedFrom).toBeUndefined();
    expect(loadConfigFile(join(folder, 'config.yaml'), sftSchema)).toEqual(config);
    const [session] = factsOf().sessions;
    expect(session).toMatchObject({ finer1: FINER1_VERSION, node: process.version, fromStep: 0 });
    expect(session?.commit).toMatch(/^[0-9a-f]{40}( \(changed\))?$/);
    expect(Math.abs(Date.parse(session?.started as string) - Date.now())).toBeLessThan(60_000);
  });

  it('logs steps for people and TensorBoard, generations, and facts', () => {
    {
      using run = openRun(folder, { config: CONFIG, resume: false });
      run.logStep({ step: 1, loss: 2.5, learningRate: 1e-6 });
      run.logStep({ step: 2, loss: NaN });
      run.logGenerations([
        { step: 2, prompt: 'p', images: [{ path: 'i.png', sha256: 'ab' }], response: 'r\n', reward: 1 },
      ]);
      run.note({ backend: 'wasm' });
      run.note({ backend: 'tensorflow', seed: 1 });
      run.end('finished');
    }
    expect(rowsOf('metrics.jsonl')).toEqual([
      { step: 1, loss: 2.5, learningRate: 1e-6 },
      { step: 2, loss: null },
    ]);
    expect(rowsOf('generations.jsonl')).toEqual([
      { step: 2, prompt: 'p', images: [{ path: 'i.png', sha256: 'ab' }], response: 'r\n', reward: 1 },
    ]);
    const [name = ''] = readdirSync(folder).filter((one) => one.includes('tfevents'));
    expect(readEvents(join(folder, name)).slice(2)).toMatchObject([
      { step: 1, scalars: { loss: 2.5, learningRate: Math.fround(1e-6) } },
      { step: 2, scalars: { loss: NaN } },
    ]);
    expect(factsOf()).toMatchObject({ backend: 'tensorflow', seed: 1, sessions: [{ outcome: 'finished' }] });
  });

  it.each(['config.yaml', 'run.json', 'metrics.jsonl', 'generations.jsonl'])(
    'leaves a folder alone that holds %s',
    (name) => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, name), 'precious');
      const open = () => openRun(folder, { config: CONFIG, resume: false });
      expect(open).toThrow(ConfigError);
      expect(open).toThrow(
        `${folder} holds a run already (${name}). Go on with it by --resume, or give another folder as output.`,
      );
      expect(read(name)).toBe('precious');
      expect(readdirSync(folder)).toEqual([name]);
    },
  );

  it('begins again where a run ended before its first step, and not after it', () => {
    const open = (more: object) => openRun(folder, { config: { ...CONFIG, ...more }, resume: false });
    {
      using run = open({});
      run.end('failed');
    }
    {
      using run = open({ other: 1 });
      expect(read('config.yaml')).toContain('other: 1');
      expect(factsOf()).toMatchObject({ sessions: [{ fromStep: 0 }] });
      run.logStep({ step: 1, loss: 2 });
    }
    expect(() => open({})).toThrow(`${folder} holds a run already (config.yaml).`);
    expect(rowsOf('metrics.jsonl')).toEqual([{ step: 1, loss: 2 }]);
  });

  it('resumes no run where there is none', () => {
    expect(() => openRun(folder, { config: CONFIG, resume: true })).toThrow(
      `${folder} holds no run that could be resumed.`,
    );
    expect(existsSync(folder)).toBe(false);
  });

  it('goes on from the newest whole checkpoint, and forgets what came after it', () => {
    {
      using run = openRun(folder, { config: CONFIG, resume: false });
      run.note({ backend: 'tensorflow' });
      for (let step = 1; step <= 5; step++) {
        run.logStep({ step, loss: step });
        run.logGenerations([
          { step, prompt: 'a', images: [], response: '' },
          { step, prompt: 'b', images: [], response: '' },
        ]);
        if (step % 2 === 0) saveCheckpoint(step);
      }
    }
    appendFileSync(join(folder, 'metrics.jsonl'), '{"step":6,"lo');
    // What a kill leaves of checkpoints that are being written and deleted.
    for (const name of ['.step-6.finer1-fresh', '.step-2.leaving']) {
      mkdirSync(join(folder, 'checkpoints', name));
      writeFileSync(join(folder, 'checkpoints', name, 'half'), '');
    }
    {
      using run = openRun(folder, { config: CONFIG, resume: true });
      expect(run.resumedFrom).toEqual({ step: 4, folder: join(folder, 'checkpoints/step-4') });
      expect(rowsOf('metrics.jsonl').map(({ step }) => step)).toEqual([1, 2, 3, 4]);
      expect(rowsOf('generations.jsonl').map(({ step }) => step)).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
      expect(readdirSync(join(folder, 'checkpoints'))).toEqual(['step-2', 'step-4']);
      run.logStep({ step: 5, loss: 50 });
    }
    expect(rowsOf('metrics.jsonl').at(-1)).toEqual({ step: 5, loss: 50 });
    expect(factsOf()).toMatchObject({ backend: 'tensorflow', sessions: [{ fromStep: 0 }, { fromStep: 4 }] });
    const files = readdirSync(folder).filter((one) => one.includes('tfevents'));
    expect(files).toHaveLength(2);
    expect(readEvents(join(folder, files[1] ?? ''))[1]).toMatchObject({ step: 5, sessionStatus: 1 });
  });

  it('mends a row that is cut in the middle of a character', () => {
    openRun(folder, { config: CONFIG, resume: false })[Symbol.dispose]();
    saveCheckpoint(9);
    const rows = Buffer.from('{"step":1,"name":"ä"}\n{"step":2,"name":"ä"}\n');
    writeFileSync(join(folder, 'metrics.jsonl'), rows.subarray(0, -4));
    openRun(folder, { config: CONFIG, resume: true })[Symbol.dispose]();
    expect(read('metrics.jsonl')).toBe('{"step":1,"name":"ä"}\n');
  });

  it('begins anew where a run was killed before its first checkpoint', () => {
    {
      using run = openRun(folder, { config: CONFIG, resume: false });
      run.logStep({ step: 1, loss: 1 });
    }
    using run = openRun(folder, { config: CONFIG, resume: true });
    expect(run.resumedFrom).toBeUndefined();
    expect(read('metrics.jsonl')).toBe('');
  });
});

describe('checkpoints', () => {
  it('are in the order of their steps, those that are not whole left out', () => {
    for (const name of ['step-10', 'step-9', '.step-11.finer1-fresh', 'step-12.partial', 'other']) {
      mkdirSync(join(folder, 'checkpoints', name), { recursive: true });
    }
    expect(listCheckpoints(folder).map(({ step }) => step)).toEqual([9, 10]);
    expect(newestCheckpoint(folder)?.step).toBe(10);
    expect(newestCheckpoint(parent)).toBeUndefined();
  });

  it.each([
    [2, undefined, [3, 4]],
    [2, 1, [1, 3, 4]],
    [1, 4, [4]],
    [9, undefined, [1, 2, 3, 4]],
  ])('keeps the last %d and the best, %s', (keepLast, best, left) => {
    for (const step of [1, 2, 3, 4]) saveCheckpoint(step);
    pruneCheckpoints(folder, keepLast, best);
    expect(listCheckpoints(folder).map(({ step }) => step)).toEqual(left);
    expect(readdirSync(join(folder, 'checkpoints'))).toHaveLength(left.length);
  });
});

describe('a kill', () => {
  const source = (path: string): string =>
    JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../../src', path)).href);
  const FILES = 4;
  const BYTES = 2 ** 20;
  /* Steps, checkpoints of four files of the step's number, and prunings, until it is killed. */
  const child = (resume: boolean): string => `
    import { writeFileSync } from 'node:fs';
    import { join } from 'node:path';
    const { openRun } = await import(${source('train/run/runFolder.ts')});
    const { checkpointFolder, pruneCheckpoints } = await import(${source('train/run/checkpoints.ts')});
    const { replaceFolder } = await import(${source('model/modelFolder.ts')});
    const folder = ${JSON.stringify(folder)};
    const run = openRun(folder, { config: {}, resume: ${resume} });
    for (let step = (run.resumedFrom?.step ?? 0) + 1; ; step++) {
      run.logStep({ step, loss: step });
      run.logGenerations([{ step, prompt: 'p'.repeat(5000), images: [], response: '' }]);
      if (step % 2 === 1) continue;
      run.sync();
      replaceFolder(checkpointFolder(folder, step), (fresh) => {
        for (let i = 0; i < ${FILES}; i++) {
          writeFileSync(join(fresh, 'part-' + i), Buffer.alloc(${BYTES}, step % 251));
          process.stdout.write('step ' + step + ' part ' + i + '\\n');
        }
      });
      pruneCheckpoints(folder, 2);
    }`;

  const assertWhole = (): number => {
    const checkpoints = listCheckpoints(folder);
    for (const { step, folder: at } of checkpoints) {
      expect(readdirSync(at)).toHaveLength(FILES);
      for (const name of readdirSync(at)) {
        expect(readFileSync(join(at, name)).equals(Buffer.alloc(BYTES, step % 251))).toBe(true);
      }
    }
    return checkpoints.at(-1)?.step ?? 0;
  };

  it('at any moment leaves whole checkpoints, and rows that the next run goes on from', async () => {
    let last = 0;
    for (const [round, part] of [0, 2, 3, 1].entries()) {
      const { signal, stderr } = await runModule(child(round > 0), (stdout, kill) => {
        // In the middle of a save; then after another one, wherever that is by then.
        if (stdout.includes(`step ${last + 4} part ${part}`)) kill('SIGKILL');
      });
      expect(signal, stderr).toBe('SIGKILL');
      const newest = assertWhole();
      expect(newest).toBeGreaterThan(last);
      {
        using run = openRun(folder, { config: {}, resume: true });
        expect(run.resumedFrom?.step).toBe(newest);
      }
      for (const name of ['metrics.jsonl', 'generations.jsonl']) {
        expect(rowsOf(name).map(({ step }) => step)).toEqual(Array.from({ length: newest }, (_, i) => i + 1));
      }
      expect(readdirSync(join(folder, 'checkpoints')).every((name) => /^step-\d+$/.test(name))).toBe(true);
      last = newest;
    }
  });
});
