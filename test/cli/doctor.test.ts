import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Diagnosis } from '../../src/cli/diagnose.ts';
import { runFiner1 } from '../support/cli.ts';

let empty: string;
beforeAll(() => {
  empty = mkdtempSync(join(tmpdir(), 'finer1-doctor-'));
});
afterAll(() => rmSync(empty, { recursive: true }));

const parse = (stdout: string): Diagnosis => JSON.parse(stdout) as Diagnosis;
const positive = (value: number | undefined): void => expect(value).toBeGreaterThan(0);

describe('finer1 doctor', () => {
  it('tells what the machine has, what auto takes, and how fast it is', async () => {
    const { code, stdout } = await runFiner1(['doctor', '--json']);
    expect(code).toBe(0);
    const found = parse(stdout);
    expect(found).toMatchObject({
      finer1: '0.1.0',
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      backend: { asked: 'auto', selected: { backend: 'tensorflow' } },
      xlaWorks: true,
      problems: [],
    });
    expect(found.tensorflow).toMatchObject({ version: '2.21.0', folder: expect.any(String) as string });
    expect(found.tensorflow?.devices.map(({ name }) => name)).toContain('CPU:0');
    const { wasm, tensorflow } = found.speed;
    [found.cpu.cores, found.memory.availableBytes, found.cache.freeBytes].forEach(positive);
    [wasm?.matmulGflops, wasm?.eagerOpUs, tensorflow?.matmulGflops, tensorflow?.eagerOpUs].forEach(positive);
    [tensorflow?.graphCallUs, tensorflow?.xlaCallUs].forEach(positive);
  });

  it('prints the same for people, as a table', async () => {
    const { code, stdout } = await runFiner1(['doctor']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^finer1 0\.1\.0, Node [\d.]+, linux/);
    for (const row of ['Processor', 'Memory', 'Cache', 'TensorFlow', 'Devices', 'XLA', 'Backend', 'Speed']) {
      expect(stdout).toMatch(new RegExp(`^  ${row}  `, 'm'));
    }
    expect(stdout).toMatch(/^ {2}wasm +[\d.]+ GFLOP\/s +[\d.]+ µs/m);
    expect(stdout).toContain('Nothing is wrong.');
  });

  it('falls back to wasm where TensorFlow is not installed, and says what to do', async () => {
    const { code, stdout, stderr } = await runFiner1(['doctor', '--json'], without());
    expect(code).toBe(0);
    const { backend, tensorflow, xlaWorks, speed, problems } = parse(stdout);
    expect(backend.selected).toEqual({ backend: 'wasm', device: 'CPU', why: 'TensorFlow cannot run' });
    expect({ tensorflow, xlaWorks }).toEqual({ tensorflow: null, xlaWorks: null });
    positive(speed.wasm?.matmulGflops);
    expect(problems).toEqual([expect.stringMatching(/not installed.*Run `finer1 setup`/)]);
    expect(stderr).toMatch(/WARN.*wasm, which is slow.*finer1 setup/s);
  });

  it('exits with 1 if the backend that was asked for cannot run', async () => {
    const { code, stdout } = await runFiner1(['doctor', '--backend', 'tensorflow', '--json'], without());
    expect(code).toBe(1);
    expect(parse(stdout).backend).toEqual({ asked: 'tensorflow', selected: null });
  });

  it('takes wasm when that is asked for', async () => {
    const { code, stdout } = await runFiner1(['doctor', '--backend', 'wasm', '--json']);
    expect(code).toBe(0);
    expect(parse(stdout).backend.selected).toMatchObject({ backend: 'wasm' });
  });
});

const without = (): NodeJS.ProcessEnv => ({ FINER1_CACHE: empty, FINER1_TENSORFLOW: undefined });
