import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/data/check/check.ts';
import { DEFAULT_OPTIONS } from '../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../src/data/synthetic/write.ts';
import { runFiner1 } from '../support/cli.ts';
import { makeModelFolder } from '../support/modelFolder.ts';

describe('finer1 data check', () => {
  let folder: string;
  let set: string;
  let model: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'finer1-check-'));
    set = join(folder, 'set');
    model = makeModelFolder();
    await writeSyntheticSet(set, { ...DEFAULT_OPTIONS, difficulty: 'easy', size: 56, testPictures: 8 });
  });
  afterAll(() => {
    for (const each of [folder, model]) rmSync(each, { recursive: true });
  });
  const check = (...args: string[]): ReturnType<typeof runFiner1> => runFiner1(['data', 'check', ...args]);

  it('reads all of a synthetic set, which has no errors', async () => {
    const { code, stdout, stderr } = await check(set, '--model', model, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout) as CheckReport;
    expect(report.datasets.map(({ format, rows }) => [format, rows])).toEqual([
      ['eval-jsonl', 8],
      ['eval-jsonl', 8],
      ['sharegpt-json', 64],
      ['triplets-jsonl', 64],
      ['class-folders', 80],
    ]);
    expect(report).toMatchObject({ rows: 224, images: 80, ok: true });
    expect(report.tokens.learnt).toBeGreaterThan(64 * 20);
  });

  it('prints a table for people, and exits with 1 where a training would be wrong', async () => {
    const file = join(folder, 'sft.jsonl');
    const messages = [
      { role: 'user', content: '<image>?' },
      { role: 'assistant', content: '<answer>Ani</answer>' },
    ];
    writeFileSync(
      file,
      [1, 2, 3, 4, 5].map((i) => JSON.stringify({ messages, images: [`${i}.jpg`] })).join('\n'),
    );
    const { code, stdout } = await check(file);
    expect(code).toBe(1);
    expect(stdout).toBe(
      [
        'format          rows  classes  path',
        `sharegpt-jsonl     5        1  ${file}`,
        '',
        '5 rows, 1 classes, 5 pictures',
        'text is not counted: give --model for its tokenizer',
        '',
        'error missing-image: 5 pictures that are not there',
        ...[1, 2, 3].map((i) => `    ${join(folder, `${i}.jpg`)}`),
        '    and 2 more (--json lists all)',
        '',
        'There are errors: correct them before a training.',
        '',
      ].join('\n'),
    );
    const rooted = await check(file, '--image-root', '/nowhere', '--json');
    expect((JSON.parse(rooted.stdout) as CheckReport).problems[0]?.where[0]).toBe('/nowhere/1.jpg');
  });

  it('checks the data of a config as its training uses it', async () => {
    const config = join(folder, 'sft.yaml');
    writeFileSync(
      config,
      `model: ${model}\noutput: run\nsteps: 1\ndata:\n  train: [set/sft.json]\n  validation: [set/eval_seen.jsonl]\n`,
    );
    const { code, stdout } = await check('--config', config, '--set', 'data.cutoffTokens=10', '--json');
    const report = JSON.parse(stdout) as CheckReport;
    expect(report).toMatchObject({ format: 'sharegpt-json, eval-jsonl', rows: 72, tokens: { cutoff: 10 } });
    expect(report.problems.map(({ code: name }) => name)).toEqual(['nothing-fits', 'too-long']);
    expect(code).toBe(1);
    const wrongKind = await check('--config', config, '--set', `data.train=[${set}/triplets.jsonl]`);
    expect(wrongKind.stderr).toContain(
      'holds triplets (triplets-jsonl); rows of the kind chat were expected',
    );
  });

  it.each([
    [[], 1, 'Give files or folders of data, or a config'],
    [['/nowhere'], 1, '/nowhere is not there'],
    [['x', '--cutoff', '0'], 1, 'cutoff is 0; a whole number above 0 was expected'],
    [['--config', 'x.yaml', '--model', 'y'], 2, 'mutually exclusive'],
    [['x', '--colour'], 2, 'Unknown argument: colour'],
  ])('refuses %j', async (args, status, message) => {
    const { code, stdout, stderr } = await check(...args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([status, '']);
  });
});
