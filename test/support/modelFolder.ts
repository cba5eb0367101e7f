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

/* A tokenizer.json whose tokens are bytes, and special ones by id. */
function byteTokenizer(special: Record<string, number>): object {
  const added = Object.entries(special).map(([content, id]) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
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
}

function copyGolden(name: string, ...without: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'finer1-model-'));
  const golden = fileURLToPath(new URL(name, GOLDENS));
  cpSync(golden, folder, {
    recursive: true,
    filter: (path) => !without.some((part) => path.endsWith(part)),
  });
  return folder;
}

/** A copy of the golden model tiny-a that can read: with a tokenizer whose tokens are bytes. */
export function makeModelFolder(): string {
  const folder = copyGolden('model/tiny-a', 'cases');
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(byteTokenizer(SPECIAL)));
  writeFileSync(
    join(folder, 'preprocessor_config.json'),
    JSON.stringify({ min_pixels: 3136, max_pixels: 50176 }),
  );
  return folder;
}

/** A copy of the golden SigLIP that can read, in the same way. */
export function makeSiglipFolder(): string {
  const folder = copyGolden('siglip/tiny');
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(byteTokenizer({ '</s>': 499 })));
  return folder;
}
