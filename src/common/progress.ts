import { SingleBar } from 'cli-progress';

/**
 * A bar on stderr that shows how much of a known amount of work is done; where stderr is no terminal, a line every ten
 * seconds.
 */
export interface Progress extends Disposable {
  /** @param done amount done so far, in the unit of `total` */
  update(done: number): void;
}

const UPDATE_MS = 100;
const LINE_MS = 10_000;

/**
 * @param label what is going on
 * @param total amount of work, > 0
 * @param unit of `total`, e.g. `MiB`
 */
export const startProgress = (label: string, total: number, unit: string): Progress =>
  process.stderr.isTTY ? startBar(label, total, unit) : startLines(label, total, unit);

function startBar(label: string, total: number, unit: string): Progress {
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

function startLines(label: string, total: number, unit: string): Progress {
  const started = performance.now();
  let shown = started;
  return {
    update: (done) => {
      const now = performance.now();
      if (done <= 0 || now - shown < LINE_MS) return;
      shown = now;
      const left = describeSeconds(((total - done) * (now - started)) / done / 1e3);
      process.stderr.write(`${label} ${Math.min(done, total)}/${total} ${unit} | ${left} left\n`);
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** A time for people, such as `1 h 05 min`. */
export function describeSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${two(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}
