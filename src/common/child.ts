import { spawn } from 'node:child_process';

/** How a command ended. */
export interface Ended {
  /** its exit status; 128 + the signal's number if it was killed */
  status: number;
  /** the end of what it printed, stdout and stderr together */
  tail: string;
}

const TAIL_CHARACTERS = 8_000;
const KILLED = 128 + 9;

/*
 * The command gets a process group of its own. A watcher in it waits on a pipe that nothing is ever written to: it
 * closes when this process ends, even by SIGKILL, and the watcher then kills the group.
 */
const GUARD = `
exec 3<&0
{ read -r _ <&3; kill -9 0; } >/dev/null 2>&1 &
"$@" </dev/null 3<&-
status=$?
kill $!
exit $status`;

/**
 * Runs a command that reads nothing and does not outlive this process.
 *
 * @param signal kills the command and all that it started
 * @returns once it has ended, whatever its exit status
 * @throws the signal's reason if it was aborted
 */
export async function runCommand(
  command: readonly string[],
  { env = process.env, signal }: { env?: NodeJS.ProcessEnv; signal?: AbortSignal | undefined } = {},
): Promise<Ended> {
  signal?.throwIfAborted();
  const child = spawn('/bin/sh', ['-c', GUARD, 'sh', ...command], { env, detached: true });
  let tail = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-TAIL_CHARACTERS);
    });
  }
  const kill = (): void => {
    child.stdin.destroy();
  };
  signal?.addEventListener('abort', kill);
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve(code ?? KILLED));
    });
    signal?.throwIfAborted();
    return { status, tail };
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}
