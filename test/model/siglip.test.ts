import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSiglipText } from '../../src/model/siglip.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

const FOLDER = fileURLToPath(new URL('siglip/tiny', GOLDENS));
const golden = readGolden(new URL('siglip/golden.safetensors', GOLDENS));
const ids = readGolden(new URL('siglip/inputs.safetensors', GOLDENS)).input_ids as Golden;
const LIMIT = 1e-4;

const rowsOf = ({ shape: [rows = 0, width = 0], data }: Pick<Golden, 'shape' | 'data'>): number[][] =>
  Array.from({ length: rows }, (_, i) => Array.from(data.slice(i * width, (i + 1) * width)));
function expectClose(actual: ArrayLike<number>, name: string): void {
  const { data } = golden[name] as Golden;
  expect(actual, name).toHaveLength(data.length);
  const errors = Array.from(data, (value, i) => Math.abs(value - (actual[i] as number)));
  const worst = errors.indexOf(Math.max(...errors));
  const where = `${name}[${worst}]: ${actual[worst]}, expected ${data[worst]}`;
  expect(errors[worst], where).toBeLessThan(LIMIT);
}

onEveryBackend(() => {
  it('encodes texts as torch does: hidden states, pooled outputs, vectors of length 1 and their cosines', async () => {
    using siglip = loadSiglipText(FOLDER);
    const input = tf.tensor2d(rowsOf(ids), undefined, 'int32');
    const { hidden, pooled } = siglip.encode(input);
    expectClose(await hidden.data(), 'text.last_hidden_state');
    expectClose(await pooled.data(), 'text.pooler_output');
    expectClose(await pooled.data(), 'text_features');
    const vectors = await siglip.embed(rowsOf(ids));
    expectClose(
      vectors.flatMap((vector) => [...vector]),
      'text_embeds_normalised',
    );
    const cosines = vectors.flatMap((a) =>
      vectors.map((b) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)),
    );
    expectClose(cosines, 'text_cosine');
    tf.dispose([input, hidden, pooled]);
  });
});

describe('a folder that does not fit', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'finer1-siglip-'));
    cpSync(FOLDER, folder, { recursive: true });
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const withConfig = (change: (config: { model_type: string; text_config: object }) => object): void => {
    const config = JSON.parse(readFileSync(join(FOLDER, 'config.json'), 'utf8')) as {
      model_type: string;
      text_config: object;
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(change(config)));
  };

  it('is named with the tensor, what was found and what was expected', () => {
    withConfig((config) => ({ ...config, text_config: { ...config.text_config, projection_size: 12 } }));
    expect(() => loadSiglipText(folder)).toThrow(
      /text_model\.head\.weight: found \[48, 48\], expected \[12, 48\]/,
    );
    withConfig((config) => ({ ...config, text_config: { ...config.text_config, num_hidden_layers: 1 } }));
    expect(() => loadSiglipText(folder)).toThrow(/layers\.1\.\S+: found \[\d+(, \d+)?\], expected nothing/);
  });

  it('is named where it is no SigLIP', () => {
    withConfig((config) => ({ ...config, model_type: 'clip' }));
    expect(() => loadSiglipText(folder)).toThrow(
      /config\.json is wrong; is it the config\.json of a SigLIP\?/,
    );
  });
});
