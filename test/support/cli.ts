import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Finished } from './child.ts';

const COMMAND = fileURLToPath(new URL('../../bin/finer1.js', import.meta.url));

/**
 * Runs `finer1` with the given arguments.
 * @param env variables that differ from this process's; undefined unsets
 * @param onStderr gets what it has printed there so far, and may send it a signal
 */
export function runFiner1(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStderr: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Finished> {
  const child = spawn(process.execPath, [COMMAND, ...args], {
    env: { ...process.env, FINER1_LOG: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => {
    stderr += String(data);
    onStderr(stderr, (signal) => child.kill(signal));
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr });
    });
  });
}
