import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CheckpointError } from '../../src/common/errors.ts';
import { copyModelFiles, formerFolder, replaceFolder } from '../../src/model/modelFolder.ts';
import { runModule } from '../support/child.ts';

const MODULE = fileURLToPath(new URL('../../src/model/modelFolder.ts', import.meta.url));

let parent: string;
let folder: string;
beforeEach(() => {
  parent = realpathSync(mkdtempSync(join(tmpdir(), 'finer1-folder-')));
  folder = join(parent, 'model');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

/** Writes files, given by their content. */
const fill = (at: string, files: Record<string, string>): void => {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(at, name, '..'), { recursive: true });
    writeFileSync(join(at, name), content);
  }
};
const contentOf = (at: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(at, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((file) => [file.slice(at.length + 1), readFileSync(file, 'utf8')]),
  );
const OLD = { 'config.json': 'old', 'weights-2': 'old', 'training/state.json': 'step 7', 'notes.md': 'mine' };
const isWeights = (name: string): boolean => name.startsWith('weights');

describe('replaceFolder', () => {
  it('makes a folder, with those above it', () => {
    const inner = join(folder, 'runs', 'one');
    replaceFolder(inner, (fresh) => {
      fill(fresh, { 'config.json': 'new' });
    });
    expect(contentOf(inner)).toEqual({ 'config.json': 'new' });
    expect(readdirSync(join(folder, 'runs'))).toEqual(['one']);
  });

  it('replaces what is written, drops what is stale and keeps the rest', () => {
    fill(folder, OLD);
    replaceFolder(
      folder,
      (fresh) => {
        fill(fresh, { 'config.json': 'new', 'weights-1': 'new' });
        expect(contentOf(folder)).toEqual(OLD);
      },
      isWeights,
    );
    expect(contentOf(folder)).toEqual({
      'config.json': 'new',
      'notes.md': 'mine',
      'training/state.json': 'step 7',
      'weights-1': 'new',
    });
    expect(readdirSync(parent)).toEqual(['model']);
  });

  it('leaves the old folder as it was where the writing fails half way', () => {
    fill(folder, OLD);
    const fail = (): void => {
      replaceFolder(folder, (fresh) => {
        fill(fresh, { 'config.json': 'new' });
        throw new Error('no memory');
      });
    };
    expect(fail).toThrow('no memory');
    expect(contentOf(folder)).toEqual(OLD);
    expect(readdirSync(parent)).toEqual(['model']);
  });

  it('leaves the old folder as it was where the process is killed half way; the next one clears up', async () => {
    fill(folder, OLD);
    const { signal } = await runModule(`
      import { writeFileSync } from 'node:fs';
      import { replaceFolder } from ${JSON.stringify(MODULE)};
      replaceFolder(${JSON.stringify(folder)}, (fresh) => {
        writeFileSync(fresh + '/config.json', 'new');
        process.kill(process.pid, 'SIGKILL');
        for (;;);
      });
    `);
    expect(signal).toBe('SIGKILL');
    expect(contentOf(folder)).toEqual(OLD);
    expect(readdirSync(parent)).toHaveLength(2);
    replaceFolder(folder, (fresh) => {
      fill(fresh, { 'config.json': 'new' });
    });
    expect(contentOf(folder)).toEqual({ ...OLD, 'config.json': 'new' });
    expect(readdirSync(parent)).toEqual(['model']);
  });

  it('puts back what a kill between the renames left', () => {
    fill(folder, OLD);
    renameSync(folder, formerFolder(folder));
    replaceFolder(folder, (fresh) => {
      fill(fresh, { 'config.json': 'new' });
    });
    expect(contentOf(folder)).toEqual({ ...OLD, 'config.json': 'new' });
    expect(readdirSync(parent)).toEqual(['model']);
  });

  it('follows a link, which stays', () => {
    fill(folder, OLD);
    const link = join(parent, 'latest');
    symlinkSync('model', link);
    replaceFolder(link, (fresh) => {
      fill(fresh, { 'config.json': 'new' });
    });
    expect(contentOf(folder)['config.json']).toBe('new');
    expect(readdirSync(parent)).toEqual(['latest', 'model']);
    expect(realpathSync(link)).toBe(folder);
  });

  it('writes into the folder that the process works in, which has to stay', async () => {
    fill(folder, OLD);
    const { code, stderr } = await runModule(`
      import { writeFileSync } from 'node:fs';
      import { replaceFolder } from ${JSON.stringify(MODULE)};
      process.chdir(${JSON.stringify(folder)});
      replaceFolder('.', (fresh) => writeFileSync(fresh + '/config.json', 'new'));
      writeFileSync('notes.md', 'still here');
    `);
    expect(code, stderr).toBe(0);
    expect(contentOf(folder)).toEqual({ ...OLD, 'config.json': 'new', 'notes.md': 'still here' });
  });

  it('says where it cannot write', () => {
    const write = (): never => {
      throw new Error('was called');
    };
    const file = join(parent, 'file');
    writeFileSync(file, '');
    const into = (path: string) => (): void => {
      replaceFolder(path, write);
    };
    expect(into(file)).toThrow(CheckpointError);
    expect(into(file)).toThrow(`${file} cannot be written: it is a file. Give a folder.`);
    expect(into(join(file, 'below'))).toThrow(CheckpointError);
    expect(into(join(file, 'below'))).toThrow(/below cannot be written: ENOTDIR/);
  });

  it('does not lose a folder that stands where a file has to be', () => {
    fill(folder, { 'config.json/deep': 'mine' });
    const replace = (): void => {
      replaceFolder(folder, (fresh) => {
        fill(fresh, { 'config.json': 'new' });
      });
    };
    expect(replace).toThrow(CheckpointError);
    expect(contentOf(folder)).toEqual({ 'config.json/deep': 'mine' });
    expect(readdirSync(parent)).toEqual(['model']);
  });
});

describe('copyModelFiles', () => {
  it('copies what describes a model, without weights, folders and hidden files', () => {
    const files = { 'config.json': '{}', 'tokenizer.json': '{}', 'chat_template.jinja': '', LICENSE: 'free' };
    fill(folder, {
      ...files,
      'model-00001-of-00002.safetensors': 'w',
      'model.safetensors.index.json': '{}',
      'pytorch_model.bin': 'w',
      '.gitattributes': '',
      'training/state.json': '',
    });
    const to = join(parent, 'copy');
    mkdirSync(to);
    copyModelFiles(folder, to);
    expect(contentOf(to)).toEqual(files);
  });

  it('leaves a folder that is copied to itself as it is', () => {
    fill(folder, OLD);
    copyModelFiles(folder, `${folder}/.`);
    expect(contentOf(folder)).toEqual(OLD);
    expect(existsSync(join(folder, 'config.json'))).toBe(true);
  });
});
