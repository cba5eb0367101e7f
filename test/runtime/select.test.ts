import * as tf from '@tensorflow/tfjs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { BackendError } from '../../src/common/errors.ts';
import { log } from '../../src/common/log.ts';
import { selectBackend } from '../../src/runtime/select.ts';

// In this order: TensorFlow, once started, stays in the process.
describe('selecting a backend', () => {
  const empty = mkdtempSync(join(tmpdir(), 'finer1-select-'));
  const withoutTensorFlow = (): void => {
    vi.stubEnv('FINER1_CACHE', empty);
    vi.stubEnv('FINER1_TENSORFLOW', undefined);
  };
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    rmSync(empty, { recursive: true, force: true });
  });

  it('refuses TensorFlow where it is asked for and not installed, and leaves the backend as it was', async () => {
    withoutTensorFlow();
    const before = tf.getBackend();
    await expect(selectBackend({ backend: 'tensorflow' })).rejects.toThrow(BackendError);
    await expect(selectBackend({ backend: 'tensorflow' })).rejects.toThrow('Run `finer1 setup`');
    expect(tf.getBackend()).toBe(before);
  });

  it('takes wasm for auto where TensorFlow is not installed, and warns', async () => {
    withoutTensorFlow();
    const warn = vi.spyOn(log, 'warn').mockReturnValue(undefined);
    expect(await selectBackend()).toEqual({ backend: 'wasm', device: 'CPU', why: 'TensorFlow cannot run' });
    expect(warn).toHaveBeenCalledWith(expect.stringMatching(/wasm, which is slow.*Run `finer1 setup`/));
    expect(tf.getBackend()).toBe('wasm');
    expect(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')).toBe(true);
  });

  it('takes TensorFlow for auto where it is installed', async () => {
    const { backend, why } = await selectBackend();
    expect({ backend, why }).toEqual({
      backend: 'tensorflow',
      why: expect.stringMatching(/^TensorFlow 2\.21\.0 runs/) as string,
    });
    expect(tf.getBackend()).toBe('tensorflow');
  });

  it('takes wasm where it is asked for, without a warning', async () => {
    const warn = vi.spyOn(log, 'warn');
    expect(await selectBackend({ backend: 'wasm' })).toMatchObject({ backend: 'wasm' });
    expect(warn).not.toHaveBeenCalled();
    expect(tf.getBackend()).toBe('wasm');
  });
});
