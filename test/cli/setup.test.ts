import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LIBRARY_FILES } from '../../src/runtime/tensorflow/library.ts';
import { runFiner1 } from '../support/cli.ts';
import { fakePipPids, isRunning, makeFakePip, makeWheel } from '../support/fakePip.ts';

let folder: string;
let cache: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-setup-'));
  cache = join(folder, 'cache');
  vi.stubEnv('FINER1_CACHE', cache);
  vi.stubEnv('FINER1_TENSORFLOW', undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, maxRetries: 5 });
});

describe('finer1 setup', () => {
  it('installs the TensorFlow that is pinned, which then runs; a second call has nothing to do', async (test) => {
    const first = await runFiner1(['setup', '--json']);
    if (first.code !== 0 && first.stderr.includes('cannot be reached'))
      test.skip(`no network: ${first.stderr}`);
    expect(first.stderr).toMatch(/Downloading tensorflow.*is installed in/s);
    expect(first.code).toBe(0);
    const result = JSON.parse(first.stdout) as Record<string, unknown>;
    expect(result).toEqual({
      version: '2.21.0',
      flavour: 'cpu',
      folder: join(cache, 'tensorflow-2.21.0-cpu', 'tensorflow'),
      source: 'setup',
      installed: true,
      downloadedBytes: expect.any(Number) as number,
    });
    expect(readdirSync(cache).sort()).toEqual(['setup.lock', 'tensorflow-2.21.0-cpu']);

    const second = await runFiner1(['setup', '--json'], { PATH: '' });
    expect(second.code).toBe(0);
    expect(JSON.parse(second.stdout)).toEqual({ ...result, installed: false, downloadedBytes: 0 });

    const doctor = await runFiner1(['doctor', '--backend', 'tensorflow', '--json']);
    expect(doctor.code).toBe(0);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'cleans up on %s, and ends with its exit status',
    async (signal) => {
      const wheels = join(folder, 'wheels');
      await makeWheel(wheels, 'tensorflow', {});
      const pip = makeFakePip(join(folder, 'pip'), wheels, 'hang');
      const { code, stderr } = await runFiner1(['setup'], { PATH: pip }, (printed, kill) => {
        if (printed.endsWith('MiB)\n')) {
          void vi.waitFor(() => expect(fakePipPids(wheels)).toHaveLength(1), 10_000).then(() => kill(signal));
        }
      });
      expect(stderr).toContain(`Interrupted by ${signal}: nothing was changed.`);
      expect(code).toBe(128 + constants.signals[signal]);
      expect(readdirSync(cache)).toEqual(['setup.lock']);
      expect(fakePipPids(wheels).filter(isRunning)).toEqual([]);
    },
  );

  it('says in one message what went wrong, with the stack only where it is asked for', async () => {
    const plain = await runFiner1(['setup', '--json'], { PATH: '' });
    expect(plain).toMatchObject({ code: 1, stdout: '' });
    expect(plain.stderr).toMatch(/^ERROR: TensorFlow is fetched with pip, but no working pip was found/);
    expect(plain.stderr).not.toContain('    at ');
    const debug = await runFiner1(['setup'], { PATH: '', FINER1_LOG: 'debug' });
    expect(debug.stderr).toContain('    at ');
  });
});

describe('finer1 setup with FINER1_TENSORFLOW', () => {
  it('refuses a folder that holds no TensorFlow', async () => {
    const { code, stderr } = await runFiner1(['setup'], { FINER1_TENSORFLOW: folder });
    expect(code).toBe(1);
    expect(stderr).toMatch(/FINER1_TENSORFLOW is .*, but there is no libtensorflow_framework\.so\.2 in it/);
    expect(existsSync(cache)).toBe(false);
  });

  it('refuses a library that cannot be opened', async () => {
    for (const file of LIBRARY_FILES) writeFileSync(join(folder, file), 'no library');
    const { code, stderr } = await runFiner1(['setup'], { FINER1_TENSORFLOW: folder });
    expect(code).toBe(1);
    expect(stderr).toMatch(/libtensorflow_framework\.so\.2 cannot be opened/);
  });

  it('refuses another version', async (test) => {
    const other = join(folder, 'other');
    mkdirSync(other);
    try {
      compileLibraries(other, 'const char* TF_Version(void) { return "2.9.3"; }');
    } catch {
      test.skip('no C compiler (cc) to make a library of another version with');
    }
    const { code, stderr } = await runFiner1(['setup'], { FINER1_TENSORFLOW: other });
    expect(code).toBe(1);
    expect(stderr).toMatch(/is 2\.9\.3; finer1 needs 2\.21\.0/);
  });
});

function compileLibraries(target: string, code: string): void {
  for (const file of LIBRARY_FILES) {
    execFileSync('cc', ['-shared', '-fPIC', '-x', 'c', '-o', join(target, file), '-'], { input: code });
  }
}

describe('finer1', () => {
  it.each([
    [[], 'Name a command.'],
    [['no-such-command'], 'Unknown argument: no-such-command'],
    [['setup', '--unknown'], 'Unknown argument: unknown'],
    [['doctor', '--backend', 'abacus'], 'Given: "abacus"'],
  ])('exits with 2 on wrong usage: %j', async (args, message) => {
    const { code, stdout, stderr } = await runFiner1(args);
    expect(stderr).toContain(message);
    expect(stderr).toContain('finer1 --help');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('shows its version and its commands', async () => {
    expect(await runFiner1(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n' });
    const { code, stdout } = await runFiner1(['--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/finer1 setup .*finer1 doctor/s);
  });
});
