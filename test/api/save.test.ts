import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CheckpointError, ConfigError, loadModel, type Model } from '../../src/index.ts';
import { largestDifference, MODELS, readCase } from '../model/support.ts';
import { GOLDENS } from '../support/safetensors.ts';

const ADAPTER = fileURLToPath(new URL('lora/adapter', GOLDENS));

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'finer1-save-'));
  folder = join(parent, 'model');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

const load = (from: string, adapter?: string): Promise<Model> =>
  loadModel(from, { backend: 'tensorflow', ...(adapter !== undefined && { adapter }) });
const copyOf = (model: string): void => {
  mkdirSync(folder);
  for (const name of readdirSync(`${MODELS}${model}`).filter((name) => name !== 'cases')) {
    writeFileSync(join(folder, name), readFileSync(`${MODELS}${model}/${name}`));
  }
};
const contentOf = (at: string): [string, string][] =>
  readdirSync(at)
    .sort()
    .map((name) => [name, readFileSync(join(at, name), 'base64')]);

describe('saving over a model', () => {
  it('replaces shards, index and config by those of another model, and keeps what else is there', async () => {
    copyOf('tiny-b');
    writeFileSync(join(folder, 'notes.md'), 'mine');
    const { inputs } = readCase('tiny-a', 'one_image');
    using model = await load(`${MODELS}tiny-a`);
    model.save(folder);
    expect(readdirSync(folder).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'notes.md',
    ]);
    expect(readdirSync(parent)).toEqual(['model']);
    using again = await load(folder);
    const [before, after] = [await model.logits(inputs), await again.logits(inputs)];
    expect(largestDifference(after.data, before.data)).toBe(0);
  });

  it('may be over the folder that it was loaded from', async () => {
    copyOf('tiny-a');
    const { inputs } = readCase('tiny-a', 'text_only');
    using model = await load(folder);
    const before = await model.logits(inputs);
    model.save(folder);
    model.save(folder);
    using again = await load(folder);
    expect(largestDifference((await again.logits(inputs)).data, before.data)).toBe(0);
    expect(readdirSync(folder).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
    ]);
  });

  it('leaves the old one, to the byte, where a weight cannot be read', async () => {
    copyOf('tiny-b');
    const before = contentOf(folder);
    const model = await load(`${MODELS}tiny-a`);
    model.dispose();
    expect(() => {
      model.save(folder);
    }).toThrow(/disposed/);
    expect(contentOf(folder)).toEqual(before);
    expect(readdirSync(parent)).toEqual(['model']);
  });

  it('leaves the old one, to the byte, where the files of the model are gone', async () => {
    copyOf('tiny-b');
    const before = contentOf(folder);
    const source = join(parent, 'source');
    cpSync(`${MODELS}tiny-a`, source, { recursive: true });
    using model = await load(source);
    renameSync(source, `${source}-elsewhere`);
    expect(() => {
      model.save(folder);
    }).toThrow(/source/);
    expect(contentOf(folder)).toEqual(before);
  });

  it('does not write over a file', async () => {
    writeFileSync(folder, 'mine');
    using model = await load(`${MODELS}tiny-a`);
    expect(() => {
      model.save(folder);
    }).toThrow(CheckpointError);
    expect(readFileSync(folder, 'utf8')).toBe('mine');
  });

  it('keeps a model beside an adapter, and an old adapter until the new one is whole', async () => {
    copyOf('tiny-a');
    using model = await load(folder, ADAPTER);
    const weights = readFileSync(join(folder, 'model-00001-of-00002.safetensors'));
    model.save(folder);
    expect(readFileSync(join(folder, 'model-00001-of-00002.safetensors')).equals(weights)).toBe(true);
    expect(readdirSync(folder)).toContain('adapter_model.safetensors');
    using again = await load(folder, folder);
    const { inputs } = readCase('tiny-a', 'text_only');
    const [before, after] = [await model.logits(inputs), await again.logits(inputs)];
    expect(largestDifference(after.data, before.data)).toBe(0);

    const saved = contentOf(folder);
    const broken = await load(folder, folder);
    broken.dispose();
    expect(() => {
      broken.save(folder);
    }).toThrow(/disposed/);
    expect(contentOf(folder)).toEqual(saved);
  });
});

it('a folder that an interrupted save left without its name is named', async () => {
  copyOf('tiny-a');
  const former = join(parent, `.${basename(folder)}.finer1-former`);
  renameSync(folder, former);
  await expect(load(folder)).rejects.toThrow(ConfigError);
  await expect(load(folder)).rejects.toThrow(`a save was interrupted. Rename ${former}`);
});

it('a stop token outside of the vocabulary is left out of those of the model', async () => {
  copyOf('tiny-a');
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id: [986, 151645] }));
  using model = await load(folder);
  expect(model.eosTokenIds).toEqual([986]);
  const { inputs } = readCase('tiny-a', 'text_only');
  expect((await model.generate(inputs, { maxNewTokens: 2 })).tokens[0]).toHaveLength(2);
});
