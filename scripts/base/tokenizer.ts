/*
 * A small tokenizer in the format and with the rules of Qwen2.5's (byte-level BPE), learnt from a few texts.
 */

/* Qwen2's way to cut a text before merging. */
const SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/* The same without the part that only contractions need, which JavaScript cannot express. */
const PIECES = /[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;

/** Special tokens of Qwen2.5-VL, in its order. */
export const SPECIAL_TOKENS = [
  '<|endoftext|>',
  '<|im_start|>',
  '<|im_end|>',
  '<|object_ref_start|>',
  '<|object_ref_end|>',
  '<|box_start|>',
  '<|box_end|>',
  '<|quad_start|>',
  '<|quad_end|>',
  '<|vision_start|>',
  '<|vision_end|>',
  '<|vision_pad|>',
  '<|image_pad|>',
  '<|video_pad|>',
] as const;

/** Printable stand-ins of the bytes, as byte-level BPE names them (GPT-2). */
function byteSymbols(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

/** Pairs of symbols in the order in which they are merged, until each piece of the texts is one token. */
function learnMerges(texts: readonly string[], symbols: readonly string[]): [string, string][] {
  const counts = new Map<string, number>();
  for (const piece of texts.flatMap((text) => text.match(PIECES) ?? [])) {
    counts.set(piece, (counts.get(piece) ?? 0) + 1);
  }
  let words = [...counts].map(([piece, count]) => ({
    parts: [...Buffer.from(piece)].map((byte) => symbols[byte] as string),
    count,
  }));
  const merges: [string, string][] = [];
  for (;;) {
    const pairs = new Map<string, number>();
    for (const { parts, count } of words) {
      for (let i = 1; i < parts.length; i++) {
        const pair = `${parts[i - 1]} ${parts[i]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + count);
      }
    }
    const best = [...pairs].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))[0];
    if (best === undefined) return merges;
    const [left, right] = best[0].split(' ') as [string, string];
    merges.push([left, right]);
    words = words.map(({ parts, count }) => ({ parts: merged(parts, left, right), count }));
  }
}

function merged(parts: readonly string[], left: string, right: string): string[] {
  const result: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    if (parts[i] === left && parts[i + 1] === right) {
      result.push(left + right);
      i++;
    } else result.push(parts[i] as string);
  }
  return result;
}

/** `tokenizer.json`: the bytes, what is learnt of the texts, the special tokens. */
export function makeTokenizer(texts: readonly string[]): {
  json: object;
  size: number;
  idOf: (token: string) => number;
} {
  const symbols = byteSymbols();
  const merges = learnMerges(texts, symbols);
  const tokens = [...symbols, ...merges.map(([left, right]) => left + right)];
  const special = (token: string): number => tokens.length + SPECIAL_TOKENS.indexOf(token as never);
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content) => ({
      id: special(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: SPLIT }, behavior: 'Isolated', invert: false },
        byteLevel,
      ],
    },
    post_processor: { ...byteLevel },
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  return { json, size: tokens.length + SPECIAL_TOKENS.length, idOf: special };
}
