import { cpSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GOLDENS } from './safetensors.ts';

/* Printable stand-ins of the bytes, as byte-level BPE names them (GPT-2). */
function byteSymbols(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/* The special tokens of the golden models, by id. */
const SPECIAL: Record<string, number> = {
  '<|endoftext|>': 984,
  '<|im_start|>': 985,
  '<|im_end|>': 986,
  '<|vision_start|>': 987,
  '<|vision_end|>': 988,
  '<|vision_pad|>': 989,
  '<|image_pad|>': 990,
  '<|video_pad|>': 991,
};

/** A copy of the golden model tiny-a that can read: with a tokenizer whose tokens are bytes. */
export function makeModelFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-model-'));
  const tinyA = fileURLToPath(new URL('model/tiny-a', GOLDENS));
  cpSync(tinyA, folder, { recursive: true, filter: (path) => !path.endsWith('cases') });
  const added = Object.entries(SPECIAL).map(([content, id]) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(byteSymbols().map((symbol, id) => [symbol, id])),
      merges: [],
    },
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(
    join(folder, 'preprocessor_config.json'),
    JSON.stringify({ min_pixels: 3136, max_pixels: 50176 }),
  );
  return folder;
}
