import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRange } from '../../src/common/files.ts';
import { parseModelConfig, type ModelConfig } from '../../src/config/model.ts';
import { readJson } from '../../src/common/json.ts';
import { loadParameters, readCheckpointIndex, saveParameters } from '../../src/model/checkpoint.ts';
import { expectedTensors, toReleasedName, toTransformersName } from '../../src/model/names.ts';
import { contentOf, nestParameters, type ParameterDType } from '../../src/model/parameters.ts';
import { readSafetensorsHeader, type TensorContent, writeSafetensors } from '../../src/model/safetensors.ts';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../../src/runtime/halves.ts';
import type { Variable } from '../../src/runtime/variable.ts';
import { onEveryBackend, useBackend } from '../support/backends.ts';
import { GOLDENS, readGolden } from '../support/safetensors.ts';

const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';
const NORM = 'model.norm.weight';
const INDEX = 'model.safetensors.index.json';
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;

const goldenFolder = (model: string): string => fileURLToPath(new URL(`model/${model}`, GOLDENS));
const configOf = (folder: string): ModelConfig => {
  const file = join(folder, 'config.json');
  return parseModelConfig(readJson(file), file);
};
const CONFIG = configOf(goldenFolder('tiny-a'));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-checkpoint-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Copies the files of a model of the goldens into the test's folder; the copies can be written. */
function copyModel(model: string): void {
  for (const name of [INDEX, ...SHARDS, 'config.json']) {
    writeFileSync(join(folder, name), readFileSync(join(goldenFolder(model), name)));
  }
}

/** The values of a model of the goldens by their released names. */
function goldenValues(model: string): Map<string, number[]> {
  const files = SHARDS.map((shard) => readGolden(join(goldenFolder(model), shard)));
  const entries = files.flatMap((file) => Object.entries(file));
  return new Map(entries.map(([name, { data }]) => [toReleasedName(name), [...data]]));
}

/** The tensors of a model of the goldens, to be written again. */
function contents(model: string): Map<string, TensorContent> {
  const located = readCheckpointIndex(goldenFolder(model));
  return new Map(
    [...located].map(([name, { dtype, shape, file, offset, bytes }]) => {
      const data = new Uint8Array(bytes);
      readRange(file, offset, data);
      return [name, { dtype, shape, bytes: () => data }];
    }),
  );
}

function valuesOf(variable: Variable): number[] {
  const value = variable.read();
  const values = [...value.dataSync()];
  value.dispose();
  return values;
}

/** Loads a folder, and hands over what it holds. */
function load(
  from: string,
  config = configOf(from),
  options: Parameters<typeof loadParameters>[2] = {},
): { values: Map<string, number[]>; dtypes: Set<string>; shapes: Map<string, readonly number[]> } {
  const parameters = loadParameters(from, config, options);
  const all = [...parameters];
  const loaded = {
    values: new Map(all.map(([name, variable]) => [name, valuesOf(variable)])),
    dtypes: new Set(all.map(([, { dtype }]) => dtype)),
    shapes: new Map(all.map(([name, { shape }]) => [name, shape])),
  };
  for (const variable of parameters.values()) variable.dispose();
  return loaded;
}

const refuseToWarn = (message: string): never => {
  throw new Error(`Warned: ${message}`);
};

onEveryBackend(() => {
  describe('loadParameters', () => {
    it.each(['tiny-a', 'tiny-a-newnames', 'tiny-a-storedhead', 'tiny-b'])('loads %s', (model) => {
      const golden = goldenValues(model);
      if (model !== 'tiny-b') golden.delete(HEAD); // tied
      const { values, dtypes, shapes } = load(goldenFolder(model), undefined, { warn: refuseToWarn });
      expect([...values.keys()].sort()).toEqual([...golden.keys()].sort());
      for (const [name, data] of golden) expect(values.get(name), name).toEqual(data);
      expect([...dtypes]).toEqual([model === 'tiny-b' ? 'bfloat16' : 'float32']);
      expect(shapes.get(EMBEDDING)).toEqual(model === 'tiny-b' ? [640, 48] : [1000, 64]);
    });

    it.each<[string, ParameterDType, (data: number[]) => Float32Array]>([
      ['tiny-a', 'bfloat16', (data) => fromBfloat16(toBfloat16(Float32Array.from(data)))],
      ['tiny-a', 'float16', (data) => fromFloat16(toFloat16(Float32Array.from(data)))],
      ['tiny-b', 'float32', (data) => Float32Array.from(data)],
      ['tiny-b', 'float16', (data) => fromFloat16(toFloat16(Float32Array.from(data)))],
    ])('loads %s as %s', (model, dtype, round) => {
      const { values, dtypes } = load(goldenFolder(model), undefined, { dtype });
      expect([...dtypes]).toEqual([dtype]);
      for (const [name, data] of goldenValues(model))
        expect(values.get(name), name).toEqual([...round(data)]);
    });

    it('frees what it had loaded when a file turns out to be shorter', () => {
      const tensors = contents('tiny-a');
      tensors.set(HEAD, {
        ...(tensors.get(EMBEDDING) as TensorContent),
        bytes: () => new Uint8Array(256_000),
      });
      writeSafetensors(join(folder, 'model.safetensors'), tensors);
      const { size, last } = endOf(join(folder, 'model.safetensors'));
      const cut = (): void => {
        truncateSync(join(folder, 'model.safetensors'), size - 1);
      };
      // The warning comes after the check of the header; the backends' count shows what stays.
      expect(() => loadParameters(folder, CONFIG, { warn: cut })).toThrow(
        new RegExp(`model\\.safetensors ends at byte ${size - 1}, but \\d+ bytes from ${last.offset} on`),
      );
    });
  });

  describe('saveParameters', () => {
    it.each<[string, ParameterDType | undefined]>([
      ['tiny-a', undefined],
      ['tiny-b', undefined],
      ['tiny-b', 'float16'],
    ])('writes %s (as %s) so that it is read again to the bit', (model, dtype) => {
      const config = configOf(goldenFolder(model));
      const parameters = loadParameters(goldenFolder(model), config, { dtype });
      saveParameters(folder, new Map([...parameters].map(([name, variable]) => [name, contentOf(variable)])));
      const before = new Map([...parameters].map(([name, variable]) => [name, valuesOf(variable)]));
      const kept = [...new Set([...parameters.values()].map((variable) => variable.dtype))];
      for (const variable of parameters.values()) variable.dispose();
      const { values, dtypes } = load(folder, config);
      expect([...dtypes]).toEqual(kept);
      expect(values).toEqual(before);
      expect(readdirSync(folder)).toEqual(['model.safetensors']);
    });
  });
});

/** The size of a safetensors file, and its last tensor. */
function endOf(file: string): { size: number; last: { offset: number } } {
  const sorted = [...readSafetensorsHeader(file).tensors.values()].sort((a, b) => a.offset - b.offset);
  const last = sorted.at(-1) as { offset: number; bytes: number };
  return { size: last.offset + last.bytes, last };
}

describe('what does not fit', () => {
  useBackend('tensorflow');

  /* Saves tiny-a after a change, and loads it. */
  const loadChanged = (change: (tensors: Map<string, TensorContent>) => void): void => {
    const tensors = contents('tiny-a');
    change(tensors);
    writeSafetensors(join(folder, 'model.safetensors'), tensors);
    for (const variable of loadParameters(folder, CONFIG).values()) variable.dispose();
  };
  const one: TensorContent = { dtype: 'F32', shape: [1], bytes: () => new Uint8Array(4) };

  it('names weights that are missing', () => {
    expect(() => {
      loadChanged((tensors) => tensors.delete(NORM));
    }).toThrow(/do not fit its config\.json:\n {2}1 missing:\n {4}model\.norm\.weight, expected \[64\]\n/);
  });

  it('names weights that are left over, and their file', () => {
    expect(() => {
      loadChanged((tensors) => tensors.set('model.layers.0.self_attn.q_norm.weight', one));
    }).toThrow(
      /1 left over:\n {4}model\.layers\.0\.self_attn\.q_norm\.weight \[1\] in .*\/model\.safetensors\n/,
    );
  });

  it('names weights of another shape, with what was found and expected', () => {
    expect(() => {
      loadChanged((tensors) => tensors.set(NORM, one));
    }).toThrow(
      /1 of another shape:\n {4}model\.norm\.weight in .*\/model\.safetensors: found \[1\], expected \[64\]\n/,
    );
  });

  it('names ten of many, and says how many more there are', () => {
    expect(() => {
      loadChanged((tensors) => {
        for (const name of tensors.keys()) if (name.startsWith('model.layers.')) tensors.delete(name);
      });
    }).toThrow(/ {2}48 missing:\n(?: {4}model\.layers\..*\n){10} {4}and 38 more\n/);
  });

  it('refuses a tensor that is stored under both names', () => {
    expect(() => {
      loadChanged((tensors) => tensors.set('model.language_model.norm.weight', one));
    }).toThrow(
      /model\.norm\.weight is stored twice: as model\.norm\.weight in .* as model\.language_model\.norm/,
    );
  });
});

describe('the head', () => {
  useBackend('tensorflow');

  const tied = (tieWordEmbeddings: boolean | undefined): ModelConfig => ({ ...CONFIG, tieWordEmbeddings });
  const save = (head: 'none' | 'equal' | 'different'): void => {
    const tensors = contents('tiny-a');
    const embedding = tensors.get(EMBEDDING) as TensorContent;
    const different = (): Uint8Array => {
      const bytes = embedding.bytes().slice();
      bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 0x80;
      return bytes;
    };
    if (head !== 'none') tensors.set(HEAD, head === 'equal' ? embedding : { ...embedding, bytes: different });
    writeSafetensors(join(folder, 'model.safetensors'), tensors);
  };

  it.each([
    ['none', true, false],
    ['none', undefined, false],
    ['equal', true, false],
    ['equal', false, true],
    ['equal', undefined, true],
    ['different', false, true],
    ['different', undefined, true],
  ] as const)('with %s stored and tie_word_embeddings %s: one of its own is %s', (stored, tie, own) => {
    save(stored);
    expect(load(folder, tied(tie), { warn: refuseToWarn }).values.has(HEAD)).toBe(own);
  });

  it('is used with a warning where it differs from the embedding that it is tied to', () => {
    save('different');
    const warnings: string[] = [];
    const { values } = load(folder, tied(true), { warn: (message) => warnings.push(message) });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/model\.safetensors holds a lm_head\.weight that differs from the embedding/);
    expect(values.get(HEAD)).not.toEqual(values.get(EMBEDDING));
    expect(values.get(HEAD)?.slice(0, -1)).toEqual(values.get(EMBEDDING)?.slice(0, -1));
  });

  it('is missed where it is not tied', () => {
    save('none');
    expect(() => loadParameters(folder, tied(false))).toThrow(
      /holds no lm_head\.weight, and its config\.json says .* \(tie_word_embeddings is false\)/,
    );
  });
});

describe('readCheckpointIndex', () => {
  it.each(['tiny-a', 'tiny-a-newnames', 'tiny-a-storedhead', 'tiny-b'])(
    'finds every tensor of %s',
    (model) => {
      const located = readCheckpointIndex(goldenFolder(model));
      const expected = expectedTensors(configOf(goldenFolder(model)), { head: located.has(HEAD) });
      const shapes = new Map([...located].map(([name, { shape }]) => [name, shape]));
      expect(new Map([...shapes].sort())).toEqual(new Map([...expected].sort()));
      const { weight_map } = readJson(join(goldenFolder(model), INDEX)) as {
        weight_map: Record<string, string>;
      };
      for (const { storedName, file } of located.values()) {
        expect(file).toBe(join(goldenFolder(model), weight_map[storedName] ?? ''));
      }
    },
  );

  it('says that a folder is no checkpoint', () => {
    expect(() => readCheckpointIndex(folder)).toThrow(/holds neither .*index\.json nor model\.safetensors/);
  });

  it('says that a file of the index is not there, and what should be in it', () => {
    copyModel('tiny-a');
    rmSync(join(folder, SHARDS[1]));
    expect(() => readCheckpointIndex(folder)).toThrow(
      /index\.json says that .*\.weight is in model-00002-of-00002\.safetensors, but there is no such file/,
    );
  });

  const changeIndex = (change: (map: Map<string, string>) => void): void => {
    copyModel('tiny-a');
    const { weight_map } = readJson(join(folder, INDEX)) as { weight_map: Record<string, string> };
    const map = new Map(Object.entries(weight_map));
    change(map);
    writeFileSync(join(folder, INDEX), JSON.stringify({ weight_map: Object.fromEntries(map) }));
  };

  it('names tensors that the index promises and the file does not hold', () => {
    changeIndex((map) => map.set('model.layers.9.mlp.up_proj.weight', SHARDS[0]));
    expect(() => readCheckpointIndex(folder)).toThrow(
      /1 that .*index\.json says are in .*-00001-of-.* are not there:\n {4}model\.layers\.9\.mlp\.up_proj\.weight\n/,
    );
  });

  it('names tensors that the file holds and the index does not know', () => {
    changeIndex((map) => map.delete(NORM));
    expect(() => readCheckpointIndex(folder)).toThrow(
      /1 in .*-00002-of-00002\.safetensors are not in .*index\.json:\n {4}model\.norm\.weight\n/,
    );
  });

  it.each([
    ['is not JSON', '{', 'cannot be read'],
    ['has no weight_map', '{}', 'weight_map'],
    [
      'gives no file for a tensor',
      '{"weight_map": {"model.norm.weight": 1}}',
      'weight_map["model.norm.weight"]',
    ],
  ])('refuses an index that %s', (_, text, expected) => {
    writeFileSync(join(folder, INDEX), text);
    expect(() => readCheckpointIndex(folder)).toThrow(expected);
  });

  it('refuses a shard that was cut short', () => {
    copyModel('tiny-a');
    truncateSync(join(folder, SHARDS[0]), 700_000);
    expect(() => readCheckpointIndex(folder)).toThrow(
      /-00001-of-00002\.safetensors ends at byte 700000, within .*, which ends at byte \d+/,
    );
  });
});

describe('saving over a checkpoint', () => {
  const small = (name: string, value: number): [string, TensorContent] => [
    name,
    { dtype: 'F32', shape: [4], bytes: () => new Uint8Array(new Float32Array(4).fill(value).buffer) },
  ];
  const some = (value: number): Map<string, TensorContent> =>
    new Map(['u', 'v', 'w'].map((name) => small(name, value)));
  const first = (name: string): number => {
    const { file, offset } = readCheckpointIndex(folder).get(name) ?? { file: '', offset: 0 };
    const bytes = Buffer.alloc(4);
    readRange(file, offset, bytes);
    return bytes.readFloatLE();
  };

  it('deals tensors to shards in their order, with an index', () => {
    saveParameters(folder, some(1), { maxShardBytes: 32 });
    expect(readdirSync(folder).sort()).toEqual([...SHARDS, INDEX]);
    expect(readJson(join(folder, INDEX))).toEqual({
      metadata: { total_size: 48 },
      weight_map: { u: SHARDS[0], v: SHARDS[0], w: SHARDS[1] },
    });
    expect([first('u'), first('w')]).toEqual([1, 1]);
  });

  it('gives a tensor that is larger than a shard a file of its own', () => {
    saveParameters(folder, some(1), { maxShardBytes: 8 });
    expect(readCheckpointIndex(folder).get('v')?.file).toBe(join(folder, 'model-00002-of-00003.safetensors'));
  });

  it.each([
    ['shards', 'one file', 32, 1000],
    ['one file', 'shards', 1000, 32],
    ['shards', 'other shards', 16, 32],
    ['shards', 'the same shards', 32, 32],
  ])('replaces %s by %s and leaves nothing of them', (_, __, before, after) => {
    saveParameters(folder, some(1), { maxShardBytes: before });
    writeFileSync(join(folder, 'tokenizer.json'), '');
    writeFileSync(join(folder, 'model-00007-of-00009.safetensors.new.partial'), 'of a save that was killed');
    saveParameters(folder, some(2), { maxShardBytes: after });
    expect(['u', 'v', 'w'].map(first)).toEqual([2, 2, 2]);
    const files = after === 1000 ? ['model.safetensors'] : [...SHARDS, INDEX];
    expect(readdirSync(folder).sort()).toEqual([...files, 'tokenizer.json']);
  });

  it.each([32, 1000])(
    'leaves the one of before where a tensor fails (shards of %d bytes)',
    (maxShardBytes) => {
      saveParameters(folder, some(1), { maxShardBytes });
      const files = readdirSync(folder);
      const failing = some(2).set('w', {
        ...(some(2).get('w') as TensorContent),
        bytes: () => {
          throw new Error('no memory');
        },
      });
      expect(() => {
        saveParameters(folder, failing, { maxShardBytes });
      }).toThrow('no memory');
      expect(readdirSync(folder)).toEqual(files);
      expect(['u', 'v', 'w'].map(first)).toEqual([1, 1, 1]);
    },
  );

  it('makes the folder, and says where it cannot', () => {
    const inner = join(folder, 'runs', 'one');
    saveParameters(inner, some(1));
    expect(existsSync(join(inner, 'model.safetensors'))).toBe(true);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(() => {
      saveParameters(file, some(1));
    }).toThrow(/file cannot be written: EEXIST/);
    mkdirSync(join(folder, 'taken', 'model.safetensors'), { recursive: true });
    expect(() => {
      saveParameters(join(folder, 'taken'), some(1));
    }).toThrow(/taken cannot be written: .*EISDIR|taken cannot be written: .*directory/);
  });
});

describe('names', () => {
  it.each([
    ['model.visual.blocks.0.attn.qkv.weight', 'visual.blocks.0.attn.qkv.weight'],
    ['model.language_model.layers.0.mlp.up_proj.weight', 'model.layers.0.mlp.up_proj.weight'],
    ['lm_head.weight', 'lm_head.weight'],
  ])('%s is released as %s', (transformers, released) => {
    expect(toReleasedName(transformers)).toBe(released);
    expect(toReleasedName(released)).toBe(released);
    expect(toTransformersName(released)).toBe(transformers);
  });
});

describe('nestParameters', () => {
  it('nests by dots, with arrays for numbers', () => {
    const flat = new Map([
      ['model.layers.1.mlp.up_proj.weight', 1],
      ['model.layers.0.mlp.up_proj.weight', 0],
      ['model.norm.weight', 2],
    ]);
    expect(nestParameters(flat)).toEqual({
      model: {
        layers: [{ mlp: { up_proj: { weight: 0 } } }, { mlp: { up_proj: { weight: 1 } } }],
        norm: { weight: 2 },
      },
    });
  });
});
