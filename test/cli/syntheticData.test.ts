import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runFiner1 } from '../support/cli.ts';

describe('finer1 data synthetic', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'finer1-synthetic-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const draw = (...options: string[]): ReturnType<typeof runFiner1> =>
    runFiner1(['data', 'synthetic', '--out', join(folder, 'set'), '--difficulty', 'easy', ...options]);

  it('draws a set once, says what it holds, and does not write over it', async () => {
    const { code, stdout, stderr } = await draw('--test-pictures', '8', '--size', '56');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      `${join(folder, 'set')}: 32 kinds of birds, 16 of them seen, in 80 pictures; 64 rationales, 64 triplets, ` +
        '8 + 8 test questions. README.md says more.\n',
    );
    expect(readdirSync(join(folder, 'set'))).toHaveLength(7);
    const again = await draw();
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(
      /set is not empty: it holds README\.md, classes\.json, eval_seen\.jsonl, \.\.\./,
    );
  });

  it.each([
    [['--difficulty', 'absurd'], /Invalid values|difficulty/],
    [['--colour', 'red'], /Unknown argument: colour/],
  ])('shows how it is used for %s', async (options, message) => {
    const { code, stderr } = await runFiner1(['data', 'synthetic', '--out', join(folder, 'x'), ...options]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('asks for a command', async () => {
    const { code, stderr } = await runFiner1(['data']);
    expect(code).toBe(2);
    expect(stderr).toContain('Name a command of data.');
  });
});
