import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRange } from '../../src/common/files.ts';
import { CheckpointError } from '../../src/common/errors.ts';
import { type LoraConfig, matchesTarget, parseLoraConfig } from '../../src/config/lora.ts';
import { readJson } from '../../src/common/json.ts';
import { type LoraFactors, readAdapter, writeAdapter } from '../../src/model/loraFiles.ts';
import { contentOf, loadTensor, type LocatedTensor } from '../../src/model/parameters.ts';
import { type TensorContent, writeSafetensors } from '../../src/model/safetensors.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

const ADAPTER = fileURLToPath(new URL('lora/adapter', GOLDENS));
const FILE = join(ADAPTER, 'adapter_model.safetensors');
const Q_PROJ = 'model.layers.0.self_attn.q_proj';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-lora-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const json = (): Record<string, unknown> =>
  readJson(join(ADAPTER, 'adapter_config.json')) as Record<string, unknown>;
const content = (shape: number[]): TensorContent => ({
  dtype: 'F32',
  shape,
  bytes: () => new Uint8Array(4 * shape.reduce((size, dim) => size * dim, 1)),
});

function bytesOf({ file, offset, bytes }: LocatedTensor): Uint8Array {
  const data = new Uint8Array(bytes);
  readRange(file, offset, data);
  return data;
}
const floatsOf = (tensor: LocatedTensor): number[] => [...new Float32Array(bytesOf(tensor).buffer)];

/* Writes an adapter's files: a configuration with other fields, and tensors of these shapes. */
function writeFiles(shapes: Record<string, number[]>, fields: Record<string, unknown> = {}): void {
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ ...json(), ...fields }));
  const tensors = new Map(Object.entries(shapes).map(([name, shape]) => [name, content(shape)]));
  writeSafetensors(join(folder, 'adapter_model.safetensors'), tensors);
}

describe('readAdapter', () => {
  it('finds the factors that peft saved, by the released names of their modules', () => {
    const golden = readGolden(FILE);
    const { config, tensors } = readAdapter(ADAPTER);
    expect(config).toEqual({
      r: 4,
      alpha: 8,
      targetModules: '.*language_model.*\\.(q_proj|v_proj)',
      excludeModules: undefined,
      baseModel: '../../model/tiny-a',
    });
    const layers = [0, 1, 2, 3].map((i) => `model.layers.${i}.self_attn`);
    expect([...tensors.keys()].sort()).toEqual(layers.flatMap((at) => [`${at}.q_proj`, `${at}.v_proj`]));
    for (const { a, b } of tensors.values()) {
      for (const tensor of [a, b]) {
        expect(tensor.shape).toEqual(golden[tensor.storedName]?.shape);
        expect(floatsOf(tensor)).toEqual([...(golden[tensor.storedName]?.data ?? [])]);
      }
    }
  });

  it("holds factors whose product, scaled by alpha / r, is what peft's merge adds", () => {
    const { config, tensors } = readAdapter(ADAPTER);
    const merged = readGolden(new URL('lora/merged.safetensors', GOLDENS));
    const shards = ['model-00001-of-00002', 'model-00002-of-00002'].map((name) =>
      readGolden(new URL(`model/tiny-a/${name}.safetensors`, GOLDENS)),
    );
    const base = Object.assign({}, ...shards) as Record<string, Golden>;
    for (const [name, { a, b }] of tensors) {
      const [rank = 0, width = 0] = a.shape;
      const [A, B] = [floatsOf(a), floatsOf(b)];
      const weight = `${name}.weight`;
      const differences = Array.from(merged[weight]?.data ?? [], (expected, at) => {
        const [row, column] = [Math.floor(at / width), at % width];
        const products = Array.from(
          { length: rank },
          (_, k) => (B[row * rank + k] ?? 0) * (A[k * width + column] ?? 0),
        );
        const sum = products.reduce((x, y) => x + y, 0);
        return Math.abs(expected - ((base[weight]?.data[at] ?? NaN) + (config.alpha / config.r) * sum));
      });
      expect(differences).toHaveLength((b.shape[0] ?? 0) * width);
      expect(Math.max(...differences), weight).toBeLessThan(1e-6);
    }
  });

  it.each([
    [
      'transformers 5',
      'base_model.model.model.language_model.layers.3.mlp.up_proj',
      'model.layers.3.mlp.up_proj',
    ],
    ['the released checkpoints', 'base_model.model.model.layers.3.mlp.up_proj', 'model.layers.3.mlp.up_proj'],
    [
      'transformers 5, in the encoder',
      'base_model.model.model.visual.blocks.1.mlp.up_proj',
      'visual.blocks.1.mlp.up_proj',
    ],
    [
      'the released checkpoints, in the encoder',
      'base_model.model.visual.blocks.1.mlp.up_proj',
      'visual.blocks.1.mlp.up_proj',
    ],
  ])('reads names as in %s', (_, key, name) => {
    writeFiles(
      { [`${key}.lora_A.weight`]: [4, 6], [`${key}.lora_B.weight`]: [5, 4] },
      { target_modules: ['up_proj'] },
    );
    const { tensors } = readAdapter(folder);
    expect([...tensors.keys()]).toEqual([name]);
    expect(tensors.get(name)?.a.shape).toEqual([4, 6]);
    expect(tensors.get(name)?.b.shape).toEqual([5, 4]);
  });

  const KEY = 'base_model.model.model.language_model.layers.0.self_attn.q_proj';
  const A = `${KEY}.lora_A.weight`;
  const B = `${KEY}.lora_B.weight`;
  it.each<[string, Record<string, number[]>, RegExp]>([
    ['no tensors', {}, /adapter_model\.safetensors holds no tensors/],
    ['one factor only', { [A]: [4, 64] }, /holds no lora_B for model\.layers\.0\.self_attn\.q_proj/],
    ['the other factor only', { [B]: [64, 4] }, /holds no lora_A for model\.layers\.0\.self_attn\.q_proj/],
    [
      'another rank',
      { [A]: [8, 64], [B]: [64, 8] },
      /q_proj\.lora_A\.weight has shape \[8, 64\], expected \[4, in\] for r = 4/,
    ],
    [
      'another rank in B',
      { [A]: [4, 64], [B]: [64, 8] },
      /lora_B\.weight has shape \[64, 8\], expected \[out, 4\]/,
    ],
    ['factors of a convolution', { [A]: [4, 3, 2, 14, 14], [B]: [64, 4] }, /has shape \[4, 3, 2, 14, 14\]/],
    [
      'other tensors',
      { 'base_model.model.lm_head.weight': [4, 4] },
      /holds base_model\.model\.lm_head\.weight; expected/,
    ],
    [
      'a module that is no target',
      { [A.replace('q_proj', 'k_proj')]: [4, 64] },
      /k_proj\.lora_A\.weight, but target_modules .* is not for model\.language_model\.layers\.0\.self_attn\.k_proj/,
    ],
  ])('refuses %s', (_, shapes, expected) => {
    writeFiles(shapes);
    expect(() => readAdapter(folder)).toThrow(expected);
    expect(() => readAdapter(folder)).toThrow(CheckpointError);
  });

  it('refuses a module under two names', () => {
    const old = KEY.replace('language_model.', '');
    writeFiles({ [A]: [4, 8], [`${old}.lora_A.weight`]: [4, 8] }, { target_modules: ['q_proj'] });
    expect(() => readAdapter(folder)).toThrow(/are one tensor/);
  });

  it('says which file is not there', () => {
    expect(() => readAdapter(folder)).toThrow(/adapter_config\.json cannot be read: ENOENT/);
    writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(json()));
    expect(() => readAdapter(folder)).toThrow(/holds no adapter_model\.safetensors/);
  });
});

describe('writeAdapter', () => {
  const config: LoraConfig = {
    r: 4,
    alpha: 8,
    targetModules: ['q_proj', 'qkv'],
    excludeModules: undefined,
    baseModel: 'tiny',
  };

  it("writes the tensors of peft's own file under the same names", () => {
    const golden = readAdapter(ADAPTER);
    const contents = new Map(
      [...golden.tensors].map(([name, { a, b }]): [string, LoraFactors<TensorContent>] => {
        const of = (tensor: LocatedTensor): TensorContent => ({ ...tensor, bytes: () => bytesOf(tensor) });
        return [name, { a: of(a), b: of(b) }];
      }),
    );
    writeAdapter(folder, golden.config, contents);
    expect(readGolden(join(folder, 'adapter_model.safetensors'))).toEqual(readGolden(FILE));
    expect(readAdapter(folder).config).toEqual(golden.config);
    const written = readJson(join(folder, 'adapter_config.json')) as Record<string, unknown>;
    const fields = Object.keys(written);
    expect(written).toEqual(
      Object.fromEntries(Object.entries(json()).filter(([key]) => fields.includes(key))),
    );
  });

  it('names modules of the encoder and the head as transformers 5 does', () => {
    const factors = { a: content([4, 2]), b: content([2, 4]) };
    const names = ['visual.blocks.0.attn.qkv', Q_PROJ];
    writeAdapter(folder, config, new Map(names.map((name) => [name, factors])));
    expect(Object.keys(readGolden(join(folder, 'adapter_model.safetensors')))).toEqual([
      'base_model.model.model.visual.blocks.0.attn.qkv.lora_A.weight',
      'base_model.model.model.visual.blocks.0.attn.qkv.lora_B.weight',
      'base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight',
      'base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_B.weight',
    ]);
    expect([...readAdapter(folder).tensors.keys()]).toEqual(names);
  });

  it('refuses a module that peft would not find', () => {
    const factors = { a: content([4, 2]), b: content([2, 4]) };
    expect(() => {
      writeAdapter(folder, config, new Map([['model.layers.0.mlp.up_proj', factors]]));
    }).toThrow(/has factors for model\.language_model\.layers\.0\.mlp\.up_proj/);
  });
});

onEveryBackend(() => {
  it('loads factors into variables and writes them again', () => {
    const { config, tensors } = readAdapter(ADAPTER);
    const variables = [...tensors].map(([name, { a, b }]) => ({
      name,
      a: loadTensor(`${name}.lora_A.weight`, a),
      b: loadTensor(`${name}.lora_B.weight`, b),
    }));
    const contents = variables.map(({ name, a, b }) => [name, { a: contentOf(a), b: contentOf(b) }] as const);
    writeAdapter(folder, config, new Map(contents));
    for (const { a, b } of variables) {
      a.dispose();
      b.dispose();
    }
    expect(readGolden(join(folder, 'adapter_model.safetensors'))).toEqual(readGolden(FILE));
  });
});

describe('parseLoraConfig', () => {
  const parse = (fields: Record<string, unknown>): LoraConfig =>
    parseLoraConfig({ ...json(), ...fields }, 'a/adapter_config.json');

  it('takes what older versions of peft leave out', () => {
    const minimal = { peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj'] };
    expect(parseLoraConfig(minimal, 'file')).toEqual({
      r: 8,
      alpha: 16,
      targetModules: ['q_proj'],
      excludeModules: undefined,
      baseModel: undefined,
    });
  });

  it.each<[string, unknown]>([
    ['peft_type', 'LOHA'],
    ['r', 0],
    ['lora_alpha', '8'],
    ['target_modules', null],
    ['target_modules', []],
    ['lora_dropout', 0.1],
    ['bias', 'all'],
    ['init_lora_weights', 'pissa'],
    ['rank_pattern', { q_proj: 8 }],
    ['alpha_pattern', { q_proj: 8 }],
    ['fan_in_fan_out', true],
    ['use_rslora', true],
    ['use_dora', true],
    ['use_qalora', true],
    ['lora_bias', true],
    ['modules_to_save', ['lm_head']],
    ['layers_to_transform', [0]],
    ['layer_replication', [[0, 2]]],
    ['target_parameters', ['experts']],
    ['trainable_token_indices', [1]],
    ['alora_invocation_tokens', [1]],
    ['arrow_config', {}],
  ])('refuses %s: %j', (field, value) => {
    expect(() => parse({ [field]: value })).toThrow(CheckpointError);
    expect(() => parse({ [field]: value })).toThrow(
      new RegExp(`^a/adapter_config\\.json is wrong, or of an adapter that is not supported:[^]*at ${field}`),
    );
  });

  it.each(['(', '(?i)q_proj', 'q_proj\\Z', '(?P=x)', '.*+q_proj'])(
    'refuses %j, which is no regular expression here',
    (pattern) => {
      expect(() => parse({ target_modules: pattern })).toThrow(
        /a\/adapter_config\.json: .* cannot be used as a regular expression/,
      );
    },
  );
});

describe('matchesTarget', () => {
  const path = 'model.language_model.layers.0.self_attn.q_proj';
  it.each<[LoraConfig['targetModules'], boolean]>([
    [['q_proj'], true],
    [['v_proj', 'self_attn.q_proj'], true],
    [[path], true],
    [['proj'], false],
    [['model'], false],
    ['.*q_proj', true],
    ['q_proj', false],
    ['.*language_model.*\\.(q_proj|v_proj)', true],
    ['.*visual.*\\.(q_proj|v_proj)', false],
    ['^(?!.*visual).*(?:q_proj|k_proj).*', true],
    ['.*\\.(?P<name>q_proj)', true],
    ['.*self_attn', false],
    ['a|.*q_proj', true],
  ])('by %j: %s', (targetModules, expected) => {
    expect(matchesTarget({ targetModules, excludeModules: undefined }, path)).toBe(expected);
  });

  it('leaves out what is excluded', () => {
    const exclude = (excludeModules: string | string[]): boolean =>
      matchesTarget({ targetModules: ['q_proj'], excludeModules }, path);
    expect(exclude(['self_attn.q_proj'])).toBe(false);
    expect(exclude('.*layers\\.0\\..*')).toBe(false);
    expect(exclude('.*layers\\.1\\..*')).toBe(true);
  });
});
