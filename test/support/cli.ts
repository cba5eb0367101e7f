import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Finished } from './child.ts';

/** What runs finer1. */
export const COMMAND = fileURLToPath(new URL('../../bin/finer1.js', import.meta.url));

/**
 * Runs `finer1` with the given arguments.
 * @param env variables that differ from this process's; undefined unsets
 * @param onStderr gets what it has printed there so far, and may send it a signal
 * @param stdin what it reads there
 */
export function runFiner1(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStderr: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
  stdin: Uint8Array = new Uint8Array(),
): Promise<Finished> {
  const child = spawn(process.execPath, [COMMAND, ...args], {
    env: { ...process.env, FINER1_LOG: undefined, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // It may end without having read.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
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
