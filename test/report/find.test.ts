import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/common/errors.ts';
import { findParts } from '../../src/report/find.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'finer1-report-find-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/* A folder with a file that was last written to at a time. */
function put(folder: string, file: string, seconds: number): string {
  mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, folder, file), '');
  utimesSync(join(root, folder, file), seconds, seconds);
  return join(root, folder);
}
const namesOf = (...runs: string[]): [string, string][] =>
  findParts(runs).map(({ kind, name }) => [kind, name]);

describe('findParts', () => {
  it('finds trainings and tests in a folder and its folders, in the order in which they ended', () => {
    put('quick/tests/sft', 'answers.jsonl', 30);
    put('quick/tests/base', 'answers.jsonl', 10);
    put('quick/sft', 'metrics.jsonl', 20);
    put('quick/sft/checkpoints/step-1', 'config.yaml', 25);
    put('quick/birds', 'README.md', 5);
    expect(namesOf(join(root, 'quick'))).toEqual([
      ['test', 'base'],
      ['training', 'sft'],
      ['test', 'sft'],
    ]);
  });

  it('finds a test in the folder of a training', () => {
    put('tapo', 'metrics.jsonl', 1);
    put('tapo/test', 'answers.jsonl', 2);
    expect(namesOf(join(root, 'tapo'))).toEqual([
      ['training', 'tapo'],
      ['test', 'test'],
    ]);
  });

  it('tells several runs apart, each once', () => {
    const [a, b] = [put('one/tapo', 'metrics.jsonl', 2), put('two/tapo', 'metrics.jsonl', 1)];
    expect(namesOf(a, b, a)).toEqual([
      ['training', a],
      ['training', b],
    ]);
    expect(namesOf(join(root, 'one'), join(root, 'two'))).toEqual([
      ['training', 'one/tapo'],
      ['training', 'two/tapo'],
    ]);
  });

  it('says what is missing', () => {
    const empty = put('birds', 'README.md', 1);
    expect(() => findParts([empty])).toThrow(ConfigError);
    expect(() => findParts([empty])).toThrow(
      `${empty} holds no run: there is no metrics.jsonl, run.json, config.yaml, answers.jsonl, settings.json in it, nor in its folders.`,
    );
    const gone = join(root, 'gone');
    expect(() => findParts([gone])).toThrow(`There is no folder ${gone}.`);
    expect(() => findParts([join(empty, 'README.md')])).toThrow('There is no folder');
  });
});
