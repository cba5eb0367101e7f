import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runReport } from '../../src/cli/runReport.ts';
import { CheckpointError, ConfigError } from '../../src/common/errors.ts';
import { append, writeSftRun } from '../report/support.ts';
import { runFiner1 } from '../support/cli.ts';

let folder: string;
const at = (...names: string[]): string => join(folder, ...names);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-cli-report-'));
  for (const name of ['one', 'two']) writeSftRun(at(name), 3, () => ({}));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('finer1 report', () => {
  it("writes a run's report into its folder, and says where it is", async () => {
    const { code, stdout, stderr } = await runFiner1(['report', at('one')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^\/.*one\/report\.html: 1 training, 0 tests, 0 responses, [\d.]+ KiB\.\n$/);
    expect(readFileSync(at('one/report.html'), 'utf8')).toMatch(/^<!doctype html>/);
  });

  it('puts several runs into the file that --out names, and needs one', async () => {
    await runReport([at('one'), at('two')], at('both.html'));
    expect(readFileSync(at('both.html'), 'utf8')).toContain('2 trainings, 0 tests');
    await expect(runReport([at('one'), at('two')], undefined)).rejects.toThrow(
      new ConfigError('2 runs have no folder in common. Say where their report goes by --out FILE.'),
    );
  });

  it('says what is wrong with a run, and writes nothing', async () => {
    mkdirSync(at('empty'));
    const { code, stdout, stderr } = await runFiner1(['report', at('empty')]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`${at('empty')} holds no run`);
    writeSftRun(at('damaged'), 2, () => ({}));
    append(at('damaged/metrics.jsonl'), 'no JSON\n');
    await expect(runReport([at('damaged')], undefined)).rejects.toThrow(
      `${at('damaged/metrics.jsonl')}, row 3 is no JSON`,
    );
    expect(existsSync(at('damaged/report.html'))).toBe(false);
  });

  it('leaves a former report as it was where it cannot write', async () => {
    writeFileSync(at('old.html'), 'the former one');
    mkdirSync(at('old.html.partial/in the way'), { recursive: true });
    const before = readdirSync(folder);
    await expect(runReport([at('two')], at('old.html'))).rejects.toThrow(CheckpointError);
    expect(readFileSync(at('old.html'), 'utf8')).toBe('the former one');
    expect(readdirSync(folder)).toEqual(before);
  });

  it('shows how it is used', async () => {
    const { code, stderr } = await runFiner1(['report']);
    expect(code).toBe(2);
    expect(stderr).toContain('Not enough non-option arguments');
  });
});
