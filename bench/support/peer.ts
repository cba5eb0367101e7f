import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A process that answers each line with a line of JSON. */
export interface Peer {
  ask(line: string): Promise<unknown>;
  stop(): void;
}

/** The Python of a virtual environment that has torch: the active one, else `.venv` in the current folder. */
export function findPython(): string | undefined {
  const folders = [process.env.VIRTUAL_ENV, '.venv'].filter((folder) => folder !== undefined);
  return [...folders.map((folder) => join(folder, 'bin/python')), 'python3'].find((python) => {
    try {
      execFileSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Runs a process to its end, and reads its last line, of JSON.
 * @throws Error with what it printed on stderr, if it fails
 */
export function measure(command: string, args: string[]): unknown {
  const output = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return JSON.parse(output.trim().split('\n').at(-1) ?? '');
}

/** Starts a process; what it prints on stderr is passed on. */
export function startPeer(command: string, args: string[]): Peer {
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: { resolve: (answer: unknown) => void; reject: (error: Error) => void }[] = [];
  if (child.stdout === null || child.stdin === null) throw new Error(`${command} does not start`);
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  child.on('exit', (code) => {
    for (const { reject } of waiting)
      reject(new Error(`${command} ${args.join(' ')} ended with ${String(code)}`));
  });
  const { stdin } = child;
  return {
    ask: (line) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        stdin.write(`${line}\n`);
      }),
    stop: () => {
      child.kill();
    },
  };
}
