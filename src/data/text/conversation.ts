import { DataError } from '../../common/errors.ts';
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
/* What stands there where a conversation has no system turn. */
const DEFAULT_SYSTEM = 'You are a helpful assistant.';

/**
 * Encodes a conversation as the released stage 1 did (LLaMA-Factory's template `qwen2_vl`): what the assistant says,
 * `<|im_end|>` and the newline after it are learnt; what is before each answer and the answer are encoded apart.
 *
 * @param grids patches of each picture along time, rows and columns, in order
 * @param mergeSize side of a token in patches
 * @throws DataError if no turn is learnt, turns do not alternate, or there are not as many marks as pictures
 */
export function encodeConversation(
  tokenizer: Tokenizer,
  turns: readonly Turn[],
  grids: readonly (readonly [number, number, number])[],
  mergeSize: number,
): EncodedConversation {
  const marks = turns.reduce((sum, { content }) => sum + content.split(IMAGE_MARK).length - 1, 0);
  if (marks !== grids.length) {
    throw new DataError(
      `The messages have ${marks} ${IMAGE_MARK} marks for ${grids.length} pictures. Put one where each picture stands.`,
    );
  }
  const [first, ...rest] = turns;
  const hasSystem = first?.role === 'system';
  const spoken = hasSystem ? rest : turns;
  assertAlternating(spoken);
  const left = [...grids];
  const withPads = (text: string): string => {
    const count = text.split(IMAGE_MARK).length - 1;
    return expandImages(text.replaceAll(IMAGE_MARK, IMAGE), left.splice(0, count), mergeSize);
  };
  const encoded: EncodedConversation = { ids: [], labels: [] };
  const add = (text: string, isLearnt: boolean): void => {
    const ids = tokenizer.encode(text);
    encoded.ids.push(...ids);
    encoded.labels.push(...(isLearnt ? ids : ids.map(() => IGNORED)));
  };
  let system = `<|im_start|>system\n${hasSystem ? withPads(first.content) : DEFAULT_SYSTEM}<|im_end|>\n`;
  for (const { role, content } of spoken) {
    if (role === 'assistant') add(`${withPads(content)}<|im_end|>\n`, true);
    else add(`${system}<|im_start|>user\n${withPads(content)}<|im_end|>\n<|im_start|>assistant\n`, false);
    system = '';
  }
  return encoded;
}

function assertAlternating(turns: readonly Turn[]): void {
  const roles = turns.map(({ role }) => role);
  const isRight = roles.every((role, i) => role === (i % 2 === 0 ? 'user' : 'assistant'));
  if (isRight && roles.length > 0 && roles.length % 2 === 0) return;
  throw new DataError(
    `The turns are ${roles.join(', ') || 'none'}; expected user and assistant in turn, the last one the assistant's, ` +
      'after a system turn or none.',
  );
}
