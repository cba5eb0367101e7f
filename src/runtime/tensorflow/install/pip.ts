import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runCommand } from '../../../common/child.ts';
import { BackendError } from '../../../common/errors.ts';
import type { Wheel } from './wheels.ts';

/** The command that runs pip, before pip's own arguments. */
export type Pip = readonly [string, ...string[]];

const PIPS: readonly Pip[] = [
  ['python3', '-m', 'pip'],
  ['pip3'],
  ['pip'],
  ['python', '-m', 'pip'],
  ['uv', 'tool', 'run', 'pip'],
];

/**
 * Finds the user's pip, or uv, which brings one.
 * @throws BackendError if there is neither
 */
export async function findPip(signal?: AbortSignal): Promise<Pip> {
  const broken: string[] = [];
  for (const pip of PIPS) {
    const [command, ...args] = pip;
    try {
      await promisify(execFile)(command, [...args, '--version'], { signal });
      return pip;
    } catch (error) {
      signal?.throwIfAborted();
      const { code, stderr = '' } = error as NodeJS.ErrnoException & { stderr?: string };
      if (code !== 'ENOENT') broken.push(`${pip.join(' ')} fails:\n${lastLines(stderr)}`);
    }
  }
  const found = [
    'no working pip was found on PATH (tried python3 -m pip, pip3, pip, python -m pip, uv).',
    ...broken,
  ];
  throw new BackendError(
    `TensorFlow is fetched with pip, but ${found.join('\n')}\n` +
      'Install one, e.g. `apt install python3-pip`, or uv (https://docs.astral.sh/uv). Or set FINER1_TENSORFLOW to ' +
      'the `tensorflow` folder of a Python environment that has TensorFlow.',
  );
}

/**
 * Downloads one wheel with the user's pip, so that their mirrors, proxies and credentials apply.
 *
 * @param folder where the wheel goes
 * @param temporary where pip may leave what it is working on
 * @returns the wheel's path
 * @throws BackendError if pip fails, with its last lines and what to do; the signal's reason if it was aborted
 */
export async function downloadWheel(
  pip: Pip,
  { file }: Wheel,
  { folder, temporary, signal }: { folder: string; temporary: string; signal?: AbortSignal | undefined },
): Promise<string> {
  const { requirement, abi, platforms } = parseName(file);
  const command = [
    ...pip,
    ...['download', '--no-deps', '--no-cache-dir', '--only-binary=:all:', '--progress-bar=off'],
    // Any Python 3 will do for pip itself; these say which file is wanted.
    ...['--python-version=3.12', '--implementation=cp', `--abi=${abi}`],
    ...platforms.map((platform) => `--platform=${platform}`),
    ...[`--dest=${folder}`, requirement],
  ];
  const { status, tail } = await runCommand(command, { env: environment(temporary), signal });
  if (status !== 0) throw new BackendError(explainFailure(command, status, tail, requirement));
  const path = join(folder, file);
  if (existsSync(path)) return path;
  throw new BackendError(
    `pip did not deliver ${file} when asked for ${requirement}. It said:\n${lastLines(tail)}\n` +
      'The index that pip is set up for may offer another build of it: see `pip config list`.',
  );
}

function parseName(file: string): { requirement: string; abi: string; platforms: string[] } {
  const [name, version, , abi, platforms] = file.replace(/\.whl$/, '').split('-') as [
    string,
    string,
    string,
    string,
    string,
  ];
  return { requirement: `${name.replaceAll('_', '-')}==${version}`, abi, platforms: platforms.split('.') };
}

function environment(temporary: string): NodeJS.ProcessEnv {
  const { PIP_INDEX_URL, UV_DEFAULT_INDEX, UV_INDEX_URL } = process.env;
  // Where only uv is set up, its pip would not know of the index.
  const index = PIP_INDEX_URL ?? UV_DEFAULT_INDEX ?? UV_INDEX_URL;
  return {
    ...process.env,
    ...(index === undefined ? {} : { PIP_INDEX_URL: index }),
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PIP_NO_INPUT: '1',
    TMPDIR: temporary,
  };
}

/* What pip says, and what helps; the first that fits. It calls a package missing when the network is. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [
    /No space left|Errno 28/,
    'The disk is full. Free some space, or set FINER1_CACHE to a folder on another one.',
  ],
  [
    /SSLError|CERTIFICATE/,
    'The index is not trusted. If a proxy with a certificate of its own is in the way, set `pip config set global.cert FILE`.',
  ],
  [
    /Retrying|ConnectionError|ProxyError|Max retries|Timeout|timed out|resolution/i,
    'The package index cannot be reached. Check the network and the proxy (HTTPS_PROXY); `pip config list` shows the index in use.',
  ],
  [
    /\b(401|403)\b|credentials/i,
    'The package index refuses access. Check the credentials in `pip config list`.',
  ],
  [
    /No matching distribution|Could not find a version/,
    'The package index in use does not offer it. `pip config list` shows the index; a mirror may lack it.',
  ],
];

function explainFailure(command: string[], status: number, tail: string, requirement: string): string {
  const remedy =
    REMEDIES.find(([pattern]) => pattern.test(tail))?.[1] ?? `The command was: ${command.join(' ')}`;
  return `pip could not download ${requirement} (exit status ${status}). It said:\n${lastLines(tail)}\n${remedy}`;
}

function lastLines(text: string): string {
  const lines = text.trim().split('\n').slice(-5);
  return lines.map((line) => `  ${line.trim().slice(0, 300)}`).join('\n');
}
