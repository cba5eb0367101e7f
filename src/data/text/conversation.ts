import { CheckpointError, DataError } from '../../common/errors.ts';
import { expandImages } from './chatTemplate.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A turn of a conversation that is trained on; `<image>` in its text stands for a picture. */
export interface Turn {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** A conversation as tokens. */
export interface EncodedConversation {
  ids: number[];
  /** as long; the token itself where it is learnt, else -100 */
  labels: number[];
}

/** Where a picture stands in a text. */
export const IMAGE_MARK = '<image>';

const IGNORED = -100;
const IMAGE = '<|vision_start|><|image_pad|><|vision_end|>';
/* What stands there where a conversation has no system turn, or an empty one. */
const DEFAULT_SYSTEM = 'You are a helpful assistant.';
/* What would be encoded letter by letter, unnoticed, by a tokenizer without it. */
const MARKERS = ['<|im_start|>', '<|im_end|>'];
const IMAGE_MARKERS = ['<|vision_start|>', '<|image_pad|>', '<|vision_end|>'];

/**
 * Encodes a conversation as the released stage 1 did (LLaMA-Factory's template `qwen2_vl`): what the assistant says,
 * `<|im_end|>` and the newline after it are learnt; what is before each answer and the answer are encoded apart.
 *
 * @param grids patches of each picture along time, rows and columns, in order
 * @param mergeSize side of a token in patches
 * @throws DataError if no turn is learnt, turns do not alternate, or there are not as many marks as pictures
 * @throws CheckpointError if the tokenizer lacks a special token of Qwen2.5-VL's
 */
export function encodeConversation(
  tokenizer: Tokenizer,
  turns: readonly Turn[],
  grids: readonly (readonly [number, number, number])[],
  mergeSize: number,
): EncodedConversation {
  assertMarkers(tokenizer, grids.length > 0);
  assertRoles(turns, 'assistant');
  const encoded: EncodedConversation = { ids: [], labels: [] };
  for (const { text, isLearnt } of pieces(turns, grids, mergeSize)) {
    const ids = tokenizer.encode(text);
    encoded.ids.push(...ids);
    encoded.labels.push(...(isLearnt ? ids : ids.map(() => IGNORED)));
  }
  return encoded;
}

/**
 * Encodes what is before an answer, as `encodeConversation` does.
 * @param turns the last one is the user's
 * @throws DataError, CheckpointError as `encodeConversation`
 */
export function encodePrompt(
  tokenizer: Tokenizer,
  turns: readonly Turn[],
  grids: readonly (readonly [number, number, number])[],
  mergeSize: number,
): number[] {
  assertMarkers(tokenizer, grids.length > 0);
  assertRoles(turns, 'user');
  return pieces(turns, grids, mergeSize).flatMap(({ text }) => tokenizer.encode(text));
}

/* What is encoded apart: all up to an answer, and the answer. */
function pieces(
  turns: readonly Turn[],
  grids: readonly (readonly [number, number, number])[],
  mergeSize: number,
): { text: string; isLearnt: boolean }[] {
  const marks = turns.reduce((sum, { content }) => sum + content.split(IMAGE_MARK).length - 1, 0);
  if (marks !== grids.length) {
    throw new DataError(
      `The messages have ${marks} ${IMAGE_MARK} marks for ${grids.length} pictures. Put one where each picture stands.`,
    );
  }
  const left = [...grids];
  const withPads = (text: string): string => {
    const count = text.split(IMAGE_MARK).length - 1;
    return expandImages(text.replaceAll(IMAGE_MARK, IMAGE), left.splice(0, count), mergeSize);
  };
  const [first, ...rest] = turns as [Turn, ...Turn[]];
  const hasSystem = first.role === 'system';
  const system = hasSystem ? withPads(first.content) : '';
  let before = `<|im_start|>system\n${system || DEFAULT_SYSTEM}<|im_end|>\n`;
  return (hasSystem ? rest : turns).map(({ role, content }) => {
    if (role === 'assistant') return { text: `${withPads(content)}<|im_end|>\n`, isLearnt: true };
    const text = `${before}<|im_start|>user\n${withPads(content)}<|im_end|>\n<|im_start|>assistant\n`;
    before = '';
    return { text, isLearnt: false };
  });
}

function assertMarkers(tokenizer: Tokenizer, hasImages: boolean): void {
  const markers = hasImages ? [...MARKERS, ...IMAGE_MARKERS] : MARKERS;
  const missing = markers.filter((marker) => tokenizer.idOf(marker) === undefined);
  if (missing.length === 0) return;
  throw new CheckpointError(
    `The tokenizer has no token ${missing.join(', ')}; expected the special tokens of Qwen2.5-VL. Take the tokenizer.json of ` +
      'the checkpoint.',
  );
}

function assertRoles(turns: readonly Turn[], last: 'user' | 'assistant'): void {
  const roles = turns.map(({ role }) => role);
  const spoken = roles[0] === 'system' ? roles.slice(1) : roles;
  const alternate = spoken.every((role, i) => role === (i % 2 === 0 ? 'user' : 'assistant'));
  if (alternate && spoken.at(-1) === last) return;
  throw new DataError(
    `The turns are ${spoken.join(', ') || 'none'}; expected user and assistant in turn, the last one the ${last}'s, ` +
      'after a system turn or none.',
  );
}
