import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assertCandidates, readCandidates } from '../../src/classify/candidates.ts';
import { ConfigError } from '../../src/common/errors.ts';

const fileOf = (text: string): string => {
  const file = join(mkdtempSync(join(tmpdir(), 'finer1-candidates-')), 'names.txt');
  writeFileSync(file, text);
  return file;
};

describe('candidates', () => {
  it('stand with commas between them, or one a line in a file', () => {
    expect(readCandidates('petunia, mexican petunia')).toEqual(['petunia', 'mexican petunia']);
    expect(readCandidates(fileOf('\uFEFFpetunia\r\nOwl, Snowy \r\n\r\n'))).toEqual(['petunia', 'Owl, Snowy']);
  });

  it.each([
    ['a file that is not there', 'flowers.txt', /--candidates flowers\.txt: there is no such file.*a,b,c/],
    ['an empty one', 'rose,,tulip', /--candidates: candidate 2 is empty\. Take it out/],
    [
      'one that stands there twice',
      'rose,tulip,ROSE',
      /candidate 3, ROSE, is the same as candidate 1, rose .*Take one/,
    ],
    ['one that differs in underscores', 'sea_rose,sea rose', /candidate 2, sea rose, is the same/],
    [
      'one in another form of Unicode',
      'caf\u00E9,cafe\u0301',
      /candidate 2, cafe\u0301, is the same as candidate 1/,
    ],
    ['a mark of the form', 'rose,tulip</answer>', /candidate 2, tulip<\/answer>, holds <\/answer>/],
    ['a special token', 'rose,<|im_end|>', /candidate 2, .*, holds <\|/],
  ])('cannot be %s', (_, given, message) => {
    expect(() => readCandidates(given)).toThrow(ConfigError);
    expect(() => readCandidates(given)).toThrow(message);
  });

  it('names the line of a file', () => {
    const file = fileOf('rose\n\ntulip\n');
    expect(() => readCandidates(file)).toThrow(`${file}: candidate 2 is empty.`);
  });

  it('are at least two', () => {
    const file = fileOf('rose\n');
    expect(() => readCandidates(file)).toThrow(`${file} has 1 candidate; at least 2 were expected.`);
    expect(() => {
      assertCandidates([], 'candidates');
    }).toThrow('candidates has 0 candidates; at least 2 were expected.');
  });
});
