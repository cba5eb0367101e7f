import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataError } from '../../../src/common/errors.ts';
import { hashFiles, hashWeights } from '../../../src/train/run/provenance.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-hashes-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

describe('hashFiles', () => {
  it('is the sha256 of a file that is longer than what is read at once', async () => {
    const bytes = Buffer.alloc(2 ** 21 + 3, 'abc');
    writeFileSync(join(folder, 'rows.json'), bytes);
    const path = join(folder, 'rows.json');
    expect(await hashFiles([path])).toEqual({ [path]: sha256(bytes) });
  });

  it('of a folder changes with each content and each name', async () => {
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    writeFileSync(join(folder, 'a/b/1.jpg'), 'x');
    writeFileSync(join(folder, 'a/2.jpg'), 'y');
    const hashes: (string | undefined)[] = [];
    const add = async (): Promise<void> => {
      hashes.push(Object.values(await hashFiles([join(folder, 'a')]))[0]);
    };
    await add();
    writeFileSync(join(folder, 'a/b/1.jpg'), 'z');
    await add();
    renameSync(join(folder, 'a/b/1.jpg'), join(folder, 'a/b/3.jpg'));
    await add();
    expect(new Set(hashes).size).toBe(3);
    renameSync(join(folder, 'a'), join(folder, 'elsewhere'));
    expect(Object.values(await hashFiles([join(folder, 'elsewhere')]))).toEqual([hashes[2]]);
  });

  it('names what cannot be read', async () => {
    await expect(hashFiles([join(folder, 'none.json')])).rejects.toThrow(DataError);
    await expect(hashFiles([join(folder, 'none.json')])).rejects.toThrow(
      `${folder}/none.json cannot be read`,
    );
  });
});

describe('hashWeights', () => {
  it('takes the files of weights only', async () => {
    for (const name of ['b.safetensors', 'a.safetensors', 'config.json'])
      writeFileSync(join(folder, name), name);
    expect(await hashWeights(folder)).toEqual({
      'a.safetensors': sha256('a.safetensors'),
      'b.safetensors': sha256('b.safetensors'),
    });
  });
});
