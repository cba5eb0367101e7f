import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/*
 * What each folder of src/ may import from, besides itself: folders, folders in them, or files. A folder that is not named
 * here may not exist.
 */
const ALLOWED: Record<string, readonly string[]> = {
  common: [],
  config: ['common'],
  runtime: ['common', 'config'],
  data: ['common', 'config'],
  ops: ['common', 'config', 'runtime'],
  model: ['common', 'config', 'runtime', 'ops'],
  train: ['common', 'config', 'runtime', 'ops', 'model'],
  api: ['common', 'config', 'data', 'runtime', 'ops', 'model', 'train'],
  // What both stages of training share on top of data and training.
  stage: ['common', 'config', 'data', 'runtime', 'ops', 'model', 'train'],
  sft: ['common', 'config', 'data', 'runtime', 'ops', 'model', 'train', 'stage'],
  // It asks as classify does, to say what refusing the less probable gives.
  eval: ['common', 'config', 'data', 'runtime', 'ops', 'model', 'train', 'stage', 'api', 'classify'],
  tapo: ['common', 'config', 'data', 'runtime', 'ops', 'model', 'train', 'stage'],
  // Of train, only the hashes of a model.
  classify: ['common', 'config', 'data', 'runtime', 'model', 'train', 'api'],
  // It reads what runs have written, never what trains: of eval, only the statistics.
  report: ['common', 'config', 'data', 'train/run', 'eval/bootstrap.ts', 'eval/groupBy.ts'],
  cli: [
    'common',
    'config',
    'data',
    'runtime',
    'model',
    'train',
    'api',
    'stage',
    'sft',
    'tapo',
    'eval',
    'classify',
    'report',
  ],
};
/* Packages that only these folders know. */
const ONLY_IN: Record<string, RegExp> = {
  koffi: /^runtime\/tensorflow\//,
  '@tensorflow/tfjs': /^(runtime|ops|model|train|stage|sft|tapo|api|cli)\//,
  '@tensorflow/tfjs-node-gpu': /^runtime\/tensorflow\/tfjsNode\.ts$/,
  '@tensorflow/tfjs-backend-wasm': /^runtime\//,
  yargs: /^cli\//,
  yaml: /^config\//,
  hyparquet: /^data\//,
  sharp: /^data\//,
  '@huggingface/tokenizers': /^data\//,
  '@huggingface/jinja': /^data\//,
  '@huggingface/hub': /^data\//,
  '@observablehq/plot': /^report\//,
  linkedom: /^report\//,
};

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const importsOf = (file: string): string[] =>
  ts
    .preProcessFile(readFileSync(join(SRC, file), 'utf8'), true, true)
    .importedFiles.map(({ fileName }) => fileName);
const folderOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : '');

describe.each(files)('src/%s', (file) => {
  const folder = folderOf(file);
  const imports = importsOf(file);

  it('imports only from where its folder may', () => {
    if (folder === '') return; // src/index.ts, the public API, may name every folder
    const targets = imports
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(SRC, join(SRC, dirname(file), name)));
    expect(ALLOWED, `src/${folder} is not a folder that design and test know`).toHaveProperty(folder);
    const allowed = [folder, ...(ALLOWED[folder] ?? [])];
    for (const target of targets) {
      const isAllowed = allowed.some((one) => target === one || target.startsWith(`${one}/`));
      expect(isAllowed, `${file} imports ${target}; it may import ${allowed.join(', ')}`).toBe(true);
    }
  });

  it('leaves packages to the folder that knows them', () => {
    for (const [name, owner] of Object.entries(ONLY_IN)) {
      if (imports.some((imported) => imported === name || imported.startsWith(`${name}/`))) {
        expect(file, `${name} is for ${owner.source}`).toMatch(owner);
      }
    }
  });

  it('imports no barrel', () => {
    for (const name of imports.filter((imported) => imported.startsWith('.')))
      expect(name).not.toMatch(/\/index\.ts$/);
  });
});
