import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The process was told to end, and has cleaned up. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(private readonly signal: (typeof SIGNALS)[number]) {
    super(`Interrupted by ${signal}: nothing was changed.`);
  }

  /** As a shell gives it for a process that the signal ended. */
  get exitStatus(): number {
    return 128 + constants.signals[this.signal];
  }
}

/**
 * Runs `action` with an AbortSignal that SIGINT or SIGTERM aborts; a second one ends the process at once.
 * @throws Interrupted if `action` throws the signal's reason
 */
export async function abortOnSignal<T>(action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (signal: (typeof SIGNALS)[number]): void => {
    for (const name of SIGNALS) process.off(name, stop);
    controller.abort(new Interrupted(signal));
  };
  for (const name of SIGNALS) process.on(name, stop);
  try {
    return await action(controller.signal);
  } finally {
    for (const name of SIGNALS) process.off(name, stop);
  }
}
