import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Results } from '../../src/eval/results.ts';
import { makeTestSet, type TestSet } from '../eval/support.ts';
import { TINY_BASE } from '../support/birds.ts';
import { COMMAND, runFiner1 } from '../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'finer1-eval-'));
const whole = join(folder, 'whole');
let test: TestSet;
const asked = (...more: string[]): string[] => [
  ...['eval', '--model', TINY_BASE, '--data', test.seen, '--options', 'rotations', '--batch', '2'],
  ...['--max-new-tokens', '8', ...more],
];
const linesIn = (out: string): number => {
  const file = join(out, 'answers.jsonl');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
};

/* Runs it until `count` answers are there, then sends the signal. */
async function runUntil(
  count: number,
  out: string,
  signal: NodeJS.Signals,
): Promise<{ child: ChildProcess; stderr: string }> {
  const child = spawn(process.execPath, [COMMAND, ...asked('--out', out)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += String(data)));
  const stop = setInterval(() => {
    // Once: a second interrupt would end it at once.
    if (!child.killed && linesIn(out) >= count) child.kill(signal);
  }, 1);
  await once(child, 'close');
  clearInterval(stop);
  return { child, stderr };
}

beforeAll(async () => {
  test = await makeTestSet();
});

describe('finer1 eval', () => {
  it('prints figures, and names the rows whose pictures cannot be used', async () => {
    const { code, stdout, stderr } = await runFiner1(asked('--out', whole));
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^options in all rotations\n +rows +released rule +strict rule +right form +cut\n {2}all +3 /,
    );
    expect(stdout).toContain(
      'released   not measured: it asks with the options as stored\nstrict     0.0 (0.0 to 0.0)',
    );
    expect(stdout).toMatch(/1 rows left out: their pictures cannot be used\n$/);
    expect(stderr).toContain('1 rows are left out, as their pictures cannot be used:\n');
    expect(stderr).toMatch(/bird_seen\.jsonl, row 3: \S+seen_3\.png: .* cannot be used as a picture/);
  });

  it('goes on after an interrupt, and after a kill, to the same results', async () => {
    const out = join(folder, 'ended');
    const interrupted = await runUntil(2, out, 'SIGINT');
    expect(interrupted.child.exitCode).toBe(130);
    expect(interrupted.stderr).toContain(`The answers so far are in ${out}; the same command goes on.`);
    const before = linesIn(out);
    const killed = await runUntil(before + 2, out, 'SIGKILL');
    expect(killed.child.signalCode).toBe('SIGKILL');
    expect(linesIn(out)).toBeLessThan(12);
    const { code } = await runFiner1(asked('--out', out));
    expect(code).toBe(0);
    for (const name of ['results.json', 'answers.jsonl', 'settings.json']) {
      expect(readFileSync(join(out, name), 'utf8'), name).toBe(readFileSync(join(whole, name), 'utf8'));
    }
  });

  it('compares with another evaluation, whose rows it has answered before', async () => {
    const { rows, ...rest } = JSON.parse(readFileSync(join(whole, 'results.json'), 'utf8')) as Results;
    const right = rows.map((row) => ({ ...row, strict: true, released: true }));
    const other = mkdtempSync(join(folder, 'other-'));
    writeFileSync(join(other, 'results.json'), JSON.stringify({ ...rest, rows: right }));
    const { stdout } = await runFiner1(asked('--out', whole, '--compare', other));
    expect(stdout).toMatch(
      /difference from \S+, in points \(positive: better here\), by the paired bootstrap\n.*\n {2}options in all rotations +3 +-100\.0/,
    );
    const json = await runFiner1(asked('--out', whole, '--compare', other, '--json'));
    expect(JSON.parse(json.stdout)).toMatchObject({
      rows: rows.map(({ key }) => ({ key })),
      comparison: { passes: [{ pass: 'rotations', rows: 3, unpaired: 0, strict: { mean: -1 } }] },
    });
  });

  it('keeps to the settings of its folder', async () => {
    const { code, stderr } = await runFiner1(asked('--out', whole, '--seed', '5', '--prompt', 'plain'));
    expect(stderr).toContain(
      `${whole} holds an evaluation with other settings: prompt was "released", and is "plain"; seed was 0, and is 5. Give ` +
        'another folder by --out, or the same settings to go on.',
    );
    expect(code).toBe(1);
  });
});

describe('finer1 eval refuses', () => {
  it.each([
    ['no data', ['--data', '/none.jsonl'], /\/none\.jsonl is not there\. Name a file or a folder of data\./],
    ['no model', ['--model', '/none'], /There is no folder \/none/],
    [
      'no pictures',
      ['--images', '/none'],
      /None of the 4 pictures is there, the first being \/none\/images\/seen_1\.png/,
    ],
    [
      'orders in the open',
      ['--open-world'],
      /The open world has no options to order\. Leave out --options or --open-world\./,
    ],
    [
      'a risk without probabilities',
      ['--max-risk', '0.1'],
      /There are probabilities in the pass classify only\. Add it/,
    ],
    ['a SigLIP where it scores nothing', ['--siglip', 'x'], /SigLIP scores answers of the open world only/],
    [
      'numbers out of range',
      ['--rows', '0', '--max-risk', '2'],
      /expected number to be <=1\n.*at maxRisk[^]*>0\n.*at rows/,
    ],
    [
      'a folder without results',
      ['--compare', tmpdir()],
      /results\.json cannot be read: ENOENT.*by --compare/,
    ],
    [
      'itself',
      ['--compare', 'x', '--out', 'x'],
      /x would be compared with itself\. Name another folder by --compare\./,
    ],
  ])('%s', async (_, more, message) => {
    const { code, stdout, stderr } = await runFiner1([...withoutOptions(asked(), more), ...more]);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at node');
    expect([code, stdout]).toEqual([1, '']);
  });
});

/* The arguments but for those, with their values, that others give too. */
const withoutOptions = (args: readonly string[], others: readonly string[]): string[] =>
  args.filter((arg, i) => {
    const name = arg.startsWith('--') ? arg : (args[i - 1] as string);
    return i === 0 || !(name.startsWith('--') && others.includes(name));
  });
