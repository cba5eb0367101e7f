import {
  closeSync,
  cpSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { parseModelConfig } from '../../src/config/model.ts';
import { expectedTensors } from '../../src/model/names.ts';

const BASE = fileURLToPath(new URL('../../models/tiny-base', import.meta.url));

/** Shapes of a model, as config.json names them. */
export interface Shape {
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  intermediate_size: number;
  vocab_size: number;
}

/** Qwen2.5-VL-3B's decoder. */
export const DECODER_3B: Shape = {
  hidden_size: 2048,
  num_hidden_layers: 36,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  intermediate_size: 11008,
  vocab_size: 151936,
};

/** The tiny base model's folder with a decoder of other shapes: its weights are a header and a hole in the file. */
export function makeHeadersOnly(shape: Shape): string {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-plan-'));
  for (const name of readdirSync(BASE).filter((one) => !one.includes('safetensors'))) {
    cpSync(join(BASE, name), join(folder, name));
  }
  const config = JSON.parse(readFileSync(join(BASE, 'config.json'), 'utf8')) as {
    rope_scaling: object;
    vision_config: object;
  };
  const half = shape.hidden_size / shape.num_attention_heads / 2;
  Object.assign(config, shape);
  Object.assign(config.rope_scaling, { mrope_section: [half / 4, (3 * half) / 8, (3 * half) / 8] });
  Object.assign(config.vision_config, { out_hidden_size: shape.hidden_size });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, dims] of expectedTensors(parseModelConfig(config, 'config.json'), { head: false })) {
    const from = end;
    end += 2 * dims.reduce((all, size) => all * size, 1);
    header[name] = { dtype: 'BF16', shape: dims, data_offsets: [from, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, Buffer.concat([length, text]));
  ftruncateSync(file, 8 + text.length + end);
  closeSync(file);
  return folder;
}

/** Rows of one picture each, as ShareGPT's JSON. */
export async function makeRows(folder: string, rows: number): Promise<string> {
  const picture = join(folder, 'picture.png');
  await sharp({ create: { width: 112, height: 112, channels: 3, background: 'white' } })
    .png()
    .toFile(picture);
  const file = join(folder, 'rows.json');
  const row = (i: number): object => ({
    messages: [
      { role: 'user', content: '<image>Which bird is this?' },
      { role: 'assistant', content: 'a bird with a red cap. '.repeat(1 + (i % 4)) },
    ],
    images: [picture],
  });
  writeFileSync(file, JSON.stringify(Array.from({ length: rows }, (_, i) => row(i))));
  return file;
}
