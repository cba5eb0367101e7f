import { SingleBar } from 'cli-progress';

/** A bar on stderr that shows how much of a known amount of work is done; silent where stderr is no terminal. */
export interface Progress extends Disposable {
  /** @param done amount done so far, in the unit of `total` */
  update(done: number): void;
}

const UPDATE_MS = 100;

/**
 * @param label what is going on
 * @param total amount of work, > 0
 * @param unit of `total`, e.g. `MiB`
 */
export function startProgress(label: string, total: number, unit: string): Progress {
  const bar = new SingleBar({
    format: `${label} [{bar}] {percentage}% | {value}/{total} ${unit} | {eta_formatted} left`,
    stream: process.stderr,
    clearOnComplete: true,
  });
  bar.start(total, 0);
  let updated = 0;
  return {
    update: (done) => {
      // The time left is estimated from the last few updates: those of one moment tell nothing.
      const now = performance.now();
      if (done <= 0 || now - updated < UPDATE_MS) return;
      updated = now;
      bar.update(Math.min(done, total));
    },
    [Symbol.dispose]: () => {
      bar.stop();
    },
  };
}
