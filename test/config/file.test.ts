import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/common/errors.ts';
import { loadConfigFile, toYaml } from '../../src/config/file.ts';
import { type SftConfig, sftSchema } from '../../src/config/sft.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-config-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const write = (name: string, text: string): string => {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
};
const SMALL = 'model: ./model\noutput: out\ndata: { train: [rows.json] }\nsteps: 3\n';
const load = (file: string, overrides: string[] = []): SftConfig =>
  loadConfigFile(file, sftSchema, overrides);
function messageOfWrong(text: string, overrides: string[] = []): string {
  try {
    load(write('c.yaml', text), overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.replaceAll(`${folder}/`, '');
  }
  throw new Error('It was taken for right.');
}

describe('loadConfigFile', () => {
  it('fills in what is left out', () => {
    expect(load(write('c.yaml', SMALL))).toEqual({
      model: join(folder, 'model'),
      output: join(folder, 'out'),
      seed: 1,
      backend: 'auto',
      threads: 0,
      gpuMemoryGrowth: true,
      dtype: 'auto',
      data: { train: [join(folder, 'rows.json')], cutoffTokens: 4096, pictures: 'own', preSize: 'none' },
      freeze: ['visual.*'],
      optimiser: {
        learningRate: 5e-6,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weightDecay: 0.1,
        decayNormsAndBiases: false,
        clipNorm: 1,
        kahan: false,
        momentsDtype: 'float32',
      },
      schedule: { kind: 'cosine', warmupSteps: 6 },
      batch: { rowsPerStep: 64, rowsPerMicroBatch: 4, accumulation: 'token-mean' },
      steps: 3,
      checkpointing: 'auto',
      checkpoints: { everySteps: 50, keepLast: 2 },
      maxBadSteps: 10,
    });
  });

  it('merges maps deep and replaces lists along a chain of extends', () => {
    write('base/a.yaml', `${SMALL}freeze: [a, b]\nschedule: { kind: linear, warmupSteps: 1 }\nseed: 1\n`);
    write('base/b.yaml', 'extends: a.yaml\nschedule: { warmupSteps: 2 }\nseed: 2\n');
    const config = load(write('c.yaml', 'extends: base/b.yaml\nfreeze: [c]\nseed: 3\n'));
    expect(config).toMatchObject({
      seed: 3,
      freeze: ['c'],
      schedule: { kind: 'linear', warmupSteps: 2 },
    });
  });

  it('extends a file by its absolute path', () => {
    const base = write('base/a.yaml', SMALL);
    expect(load(write('c.yaml', `extends: ${base}\nseed: 3\n`))).toMatchObject({ seed: 3, steps: 3 });
  });

  it('takes paths as relative to the file that they stand in, and those of overrides to the working folder', () => {
    write('base/a.yaml', SMALL);
    const file = write('c.yaml', 'extends: base/a.yaml\ndata: { validation: [v.json, /v.json] }\n');
    const config = load(file, ['output=here']);
    expect(config.model).toBe(join(folder, 'base/model'));
    expect(config.data).toMatchObject({
      train: [join(folder, 'base/rows.json')],
      validation: [join(folder, 'v.json'), '/v.json'],
    });
    expect(config.output).toBe(resolve('here'));
  });

  it('takes a model that is no folder for a hub id', () => {
    const file = write('c.yaml', SMALL.replace('./model', 'owner/name'));
    expect(load(file).model).toBe('owner/name');
    mkdirSync(join(folder, 'owner/name'), { recursive: true });
    expect(load(file).model).toBe(join(folder, 'owner/name'));
  });

  it('sets values from the command line over those of files', () => {
    const config = load(write('c.yaml', SMALL), [
      'steps=null',
      'epochs=2',
      'optimiser.learningRate=1e-3',
      'data.train=[/x, /y]',
      'lora.r=4',
    ]);
    expect(config).toMatchObject({ epochs: 2, optimiser: { learningRate: 1e-3 }, lora: { r: 4, alpha: 32 } });
    expect(config.steps).toBeUndefined();
    expect(config.data.train).toEqual(['/x', '/y']);
  });

  it('takes away with null what another file has', () => {
    write('a.yaml', `${SMALL}lora: { r: 4 }\n`);
    expect(load(write('c.yaml', 'extends: a.yaml\nlora: null\n')).lora).toBeUndefined();
  });

  it('writes a config that it reads as the same', () => {
    const config = load(write('c.yaml', `${SMALL}lora: {}\nvalidation: { everySteps: 5 }\n`), [
      'data.validation=[v]',
    ]);
    expect(load(write('other/config.yaml', toYaml(config)))).toEqual(config);
  });

  it.each([
    [
      'an unknown key',
      `${SMALL}optimiser:\n  learningrate: 1\n`,
      'c.yaml:6:3: there is no setting optimiser.learningrate. Did you mean optimiser.learningRate?',
    ],
    [
      'a key in the wrong place',
      `${SMALL}learningRate: 1\n`,
      'c.yaml:5:1: there is no setting learningRate. Did you mean optimiser.learningRate?',
    ],
    [
      'an unknown key like no other',
      `${SMALL}schedule: { zzz: null }\n`,
      'c.yaml:5:13: there is no setting schedule.zzz. There are kind, warmupSteps.',
    ],
    [
      'a wrong type',
      `${SMALL}optimiser:\n  learningRate: fast\n`,
      'c.yaml:6:17: optimiser.learningRate is "fast"; expected number.',
    ],
    [
      'a map in the place of a list',
      SMALL.replace('[rows.json]', '{ a: 1 }'),
      'c.yaml:3:16: data.train is a map; expected array.',
    ],
    [
      'a number out of range',
      `${SMALL}optimiser: { betas: [0.9, 1] }\n`,
      'c.yaml:5:27: optimiser.betas[1] is 1; expected number to be <1.',
    ],
    [
      'a wrong choice',
      `${SMALL}dtype: fp8\n`,
      'c.yaml:5:8: dtype is "fp8"; expected one of "auto"|"float32"|"bfloat16".',
    ],
    [
      'a setting that is missing',
      'output: o\ndata: { train: [x] }\nsteps: 1\n',
      'c.yaml:1:1: model is missing; expected string (the model to start from: its folder, or a hub id (owner/name)).',
    ],
    [
      'an inner setting that is missing',
      `${SMALL}validation:\n  rows: 3\n`,
      'c.yaml:6:3: validation.everySteps is missing; expected number (steps from one validation to the next).',
    ],
    [
      'an expression that is none',
      `${SMALL}freeze: ['vis(ual']\n`,
      'c.yaml:5:10: freeze[0] is "vis(ual"; expected a regular expression (Invalid regular expression: /vis(ual/: Unterminated group).',
    ],
    [
      'two ends',
      `${SMALL}epochs: 1\n`,
      'c.yaml:4:8: steps: epochs and steps are both given; give one (`epochs: null` takes the other away).',
    ],
    ['no end', SMALL.replace('steps: 3\n', ''), 'c.yaml:1:1: neither epochs nor steps is given; give one.'],
    [
      'compensated updates of float32',
      `${SMALL}dtype: float32\noptimiser: { kahan: true }\n`,
      'c.yaml:6:21: optimiser.kahan: it is for bfloat16 weights, but dtype is float32; change one of the two.',
    ],
    ['a key that stands twice', `${SMALL}steps: 4\n`, 'c.yaml:5:1: this is no YAML: Map keys must be unique'],
    [
      'a file that is no map',
      '- 1\n',
      'c.yaml:1:1: a config is a map of settings, such as `seed: 1`; this is none.',
    ],
    [
      'an empty file',
      '',
      'c.yaml:1:1: output is missing; expected string (the run folder: metrics, checkpoints, report).',
    ],
    ['an alias of itself', 'model: &a [*a]\n', 'c.yaml:1:12: this nests more than 64 levels deep.'],
    [
      'a parent that is not there',
      'extends: b.yaml\n',
      "c.yaml:1:10: extends names b.yaml, but b.yaml cannot be read: ENOENT: no such file or directory, open 'b.yaml'. Give the path of a config file.",
    ],
    [
      'a file that extends itself',
      'extends: c.yaml\n',
      'c.yaml:1:10: extends goes round in a circle: c.yaml -> c.yaml. Take one of them out.',
    ],
    [
      'extends of a list',
      'extends: [a]\n',
      'c.yaml:1:10: extends has to be the path of one config file, relative to this one.',
    ],
  ])('refuses %s', (_, text, message) => {
    expect(messageOfWrong(text).split('\n')).toContain(message);
  });

  it.each([
    ['sede=1', '--set sede=1: there is no setting sede. Did you mean seed?'],
    ['seed=x', '--set seed=x: seed is "x"; expected number.'],
    ['seed.x=1', '--set seed.x=1: seed is a map; expected number.'],
    ['seed=[', /^--set seed=\[: the value is no YAML: /],
    ['seed', '--set seed cannot be read. Give path.to.key=value, such as optimiser.learningRate=1e-5.'],
  ])('refuses the override %s', (override, message) => {
    const found = messageOfWrong(SMALL, [override]);
    if (typeof message === 'string') expect(found).toBe(message);
    else expect(found).toMatch(message);
  });

  it('finds a circle of several files', () => {
    write('a.yaml', 'extends: sub/b.yaml\n');
    write('sub/b.yaml', 'extends: ../c.yaml\n');
    expect(messageOfWrong('extends: a.yaml\n')).toBe(
      'sub/b.yaml:1:10: extends goes round in a circle: c.yaml -> a.yaml -> sub/b.yaml -> c.yaml. Take one of them out.',
    );
  });

  it('names all that is wrong, each in its own file', () => {
    write('base.yaml', 'model: m\noutput: o\ndata: { train: 3 }\nsteps: 1\n');
    expect(messageOfWrong('extends: base.yaml\nseed: -1\n').split('\n')).toEqual([
      'c.yaml:2:7: seed is -1; expected number to be >=0.',
      'base.yaml:3:16: data.train is 3; expected array.',
    ]);
  });
});
