import { describe, expect, it } from 'vitest';
import { splitAtMark, withoutMark } from '../../src/classify/reasoning.ts';
import { loadTokenizer } from '../../src/data/text/tokenizer.ts';
import { TINY_BASE } from '../support/birds.ts';

const tokenizer = loadTokenizer(TINY_BASE);
const split = (said: string): ReturnType<typeof splitAtMark> =>
  splitAtMark(tokenizer.encode(said), tokenizer);

describe('where reasoning ends', () => {
  it.each([
    ['a space shares a token with the mark', '<think> a plain finch. </think>\n\n<answer>x'],
    ['nothing is between', '<think> a plain finch</think>'],
    ['a full stop is', '<think> a plain finch.</think>'],
    ['it answers without closing', '<think> a plain finch <answer>x</answer>'],
    ['it breaks off', '<think> a plain fin'],
    ['there are letters of several bytes', '<think> Türkentaube 🐦 é</think>'],
    ['nothing is said', ''],
  ])('is found where %s', (_, said) => {
    const { text, tokens, rest } = split(said);
    expect(text).toBe(said.replace(/(<\/think>|<answer>).*/s, ''));
    expect(tokenizer.decode(tokens) + rest).toBe(text);
    expect(tokenizer.encode(said).slice(0, tokens.length)).toEqual(tokens);
  });

  it('leaves to the answer what is one token with the mark', () => {
    const { rest, tokens } = split('<think> a plain finch. </think>\n\n<answer>x');
    expect(rest).toBe(' ');
    expect([...tokens, ...tokenizer.encode(`${rest}</think>\n\n<answer>x`)]).toEqual(
      tokenizer.encode('<think> a plain finch. </think>\n\n<answer>x'),
    );
  });

  it('is not within a character', () => {
    const bytes = tokenizer.encode('é');
    expect(bytes).toHaveLength(2);
    const { said, tokens, text } = splitAtMark([...tokenizer.encode('a'), bytes[0] as number], tokenizer);
    expect(text).toBe(said);
    expect(tokens).toHaveLength(2);
  });
});

it('gives the reasoning without the mark that opens it', () => {
  expect(withoutMark('<think> a plain finch. ')).toBe('a plain finch.');
  expect(withoutMark('a plain finch.')).toBe('a plain finch.');
});
