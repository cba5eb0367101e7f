import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheFolder } from '../src/common/files.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CONSUMER = `
import * as tf from '@tensorflow/tfjs';
import { compile, registerTensorFlowBackend, Variable } from 'finer1/runtime';
import { groupAdvantages, keepGroup, reward, tapoLoss } from 'finer1/tapo';

registerTensorFlowBackend();
await tf.setBackend('tensorflow');
const variable = Variable.fromTensor(tf.tensor1d([1, 2]));
const double = compile((v: Variable) => tf.add(v.read(), v.read()), { xla: true });
const { overall } = reward('<think>red</think><answer>robin</answer>', 'robin');
const { gradients } = await tapoLoss(
  { logProbs: [[-1], [-1]], oldLogProbs: [[-1], [-1]], advantages: groupAdvantages([overall, 0], [0, 0]), mask: [[1], [1]] },
  { variant: 'dapo' },
);
const signs = gradients.logProbs.map(([x]) => Math.sign(x ?? 0));
console.log(JSON.stringify([tf.getBackend(), Array.from(double(variable).dataSync()), keepGroup([1, 0]), signs]));
`;

let folder: string;
let tarball: string;

const run = (command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}) =>
  promisify(execFile)(command, args, { cwd, env: { ...outside(), ...env } });

/* This process's environment without what leads to the checkout, as on a machine that never saw it. */
function outside(): NodeJS.ProcessEnv {
  const env = Object.entries(process.env).filter(
    ([name]) => !/^npm_(?!config_registry$)|^NODE_PATH$/.test(name),
  );
  return {
    ...Object.fromEntries(env),
    PATH: (process.env.PATH ?? '')
      .split(':')
      .filter((entry) => !entry.includes('node_modules'))
      .join(':'),
    HOME: join(folder, 'home'),
    // Where packages come from here, and what is fetched already.
    npm_config_userconfig: npmConfig('userconfig'),
    npm_config_cache: npmConfig('cache'),
    npm_config_update_notifier: 'false',
  };
}
const npmConfig = (key: string): string =>
  execFileSync('npm', ['config', 'get', key], { encoding: 'utf8', stdio: 'pipe' }).trim();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-package-'));
  mkdirSync(join(folder, 'home'));
  execFileSync('npm', ['run', 'build'], { cwd: ROOT, stdio: 'pipe' });
  await run('npm', ['pack', '--pack-destination', folder], ROOT);
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) as string);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the packed tarball, away from the checkout', () => {
  it('has what it needs to run and its licences, and no sources', () => {
    const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
    const top = new Set(files.map((file) => file.split('/')[1]));
    expect([...top].sort()).toEqual(
      expect.arrayContaining(['LICENSE', 'NOTICE', 'bin', 'dist', 'package.json']),
    );
    expect(top).not.toContain('src');
    expect(top).not.toContain('test');
  });

  it('installs globally with install scripts on; setup, doctor and report run', async () => {
    const prefix = join(folder, 'prefix');
    await run(
      'npm',
      [
        'install',
        '--global',
        '--prefer-offline',
        '--no-audit',
        '--ignore-scripts=false',
        '--prefix',
        prefix,
        tarball,
      ],
      folder,
    );
    const finer1 = join(prefix, 'bin', 'finer1');
    const env = { FINER1_CACHE: cacheFolder() };
    const setup = await run(finer1, ['setup', '--json'], folder, env);
    expect(JSON.parse(setup.stdout)).toMatchObject({ version: '2.21.0' });
    const doctor = await run(finer1, ['doctor', '--backend', 'tensorflow', '--json'], folder, env);
    expect(JSON.parse(doctor.stdout)).toMatchObject({ xlaWorks: true, problems: [] });
    const wasm = await run(finer1, ['doctor', '--backend', 'wasm', '--json'], folder, {
      FINER1_CACHE: join(folder, 'empty'),
      FINER1_TENSORFLOW: '',
    });
    expect(JSON.parse(wasm.stdout)).toMatchObject({ backend: { selected: { backend: 'wasm' } } });
    const trained = join(folder, 'trained');
    mkdirSync(trained);
    writeFileSync(join(trained, 'metrics.jsonl'), '{"step":1,"loss":2}\n');
    await run(finer1, ['report', trained], folder);
    // Its script and style sheet are files of the package.
    expect(readFileSync(join(trained, 'report.html'), 'utf8')).toMatch(/color-scheme.*DecompressionStream/s);
  });

  it('serves a program that imports finer1/runtime, finer1/tapo and tfjs: one copy of tfjs, and types', async () => {
    const project = join(folder, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
    writeFileSync(join(project, 'use.ts'), CONSUMER);
    await run('npm', ['install', tarball, '@tensorflow/tfjs', '@types/node@20'], project);
    expect(await typeErrors(project)).toEqual([]);
    const { stdout } = await run(process.execPath, ['use.js'], project, { FINER1_CACHE: cacheFolder() });
    expect(JSON.parse(stdout)).toEqual(['tensorflow', [2, 4], true, [-1, 1]]);
  });
});

/* What TypeScript has against the program and finer1's declarations (tfjs's own do not pass), while it compiles it. */
async function typeErrors(project: string): Promise<string[]> {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '--strict', '--target', 'es2022', '--module', 'nodenext', '--types', 'node', 'use.ts'];
  const { stdout } = await run(process.execPath, args, project).catch(
    (error: unknown) => error as { stdout: string },
  );
  return stdout.split('\n').filter((line) => /^(use\.ts|node_modules\/finer1)/.test(line));
}
