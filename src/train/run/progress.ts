import { log } from '../../common/log.ts';
import { describeSeconds } from '../../common/progress.ts';

/** What a step did. */
export interface StepReport {
  /** steps that are done with this one */
  step: number;
  loss: number;
  /** tokens that were computed, padding left out */
  tokens: number;
  /** what else the line says */
  more?: string;
}

/** What a person who watches a training sees. */
export interface TrainingProgress extends Disposable {
  step(report: StepReport): void;
  /** Shows what a step under way does, where there is a terminal; the next line takes its place. */
  during(text: string): void;
  /** Warns, of one kind of thing once; how often it came shows in the closing table. */
  warnOnce(kind: string, message: string): void;
  /** Ends the line, and prints a table of what there is to say, with the warnings. */
  close(rows: readonly (readonly [name: string, value: string])[]): void;
}

/** Where it is shown. */
export interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
}

const REDRAW_MS = 100;
/* Without a terminal, a line in so long. */
const LINE_MS = 10_000;
/* Speed is that of the last steps: the first ones compile. */
const STEPS_OF_SPEED = 20;

/**
 * Shows how a training goes: a line that is written anew, or plain lines where there is no terminal.
 *
 * @param totalSteps of the training
 * @param screen default: stderr
 */
export function startTrainingProgress(
  label: string,
  totalSteps: number,
  screen: Screen = process.stderr,
): TrainingProgress {
  const isTerminal = screen.isTTY === true;
  const times: { at: number; tokens: number }[] = [{ at: performance.now(), tokens: 0 }];
  const warnings = new Map<string, number>();
  let shown = -Infinity;
  let line = '';
  const clear = (): void => {
    if (isTerminal && line !== '') screen.write('\r\x1b[2K');
  };
  const end = (): void => {
    if (isTerminal && line !== '') screen.write('\n');
    line = '';
  };
  return {
    step: (report) => {
      const at = performance.now();
      times.push({ at, tokens: report.tokens });
      if (times.length > STEPS_OF_SPEED + 1) times.shift();
      const isEnd = report.step >= totalSteps;
      if (at - shown < (isTerminal ? REDRAW_MS : LINE_MS) && !isEnd) return;
      shown = at;
      clear();
      line = describeStep(label, report, totalSteps, times);
      screen.write(isTerminal ? line : `${line}\n`);
    },
    during: (text) => {
      const at = performance.now();
      if (!isTerminal || at - shown < REDRAW_MS) return;
      shown = at;
      clear();
      line = `${label} ${text}`;
      screen.write(line);
    },
    warnOnce: (kind, message) => {
      const times = warnings.get(kind) ?? 0;
      warnings.set(kind, times + 1);
      if (times > 0) return;
      clear();
      log.warn(message);
      if (isTerminal) screen.write(line);
    },
    close: (rows) => {
      end();
      screen.write(
        table([
          ...rows,
          ...[...warnings].map(([kind, times]) => [kind, `${times} times (warning)`] as const),
        ]),
      );
    },
    [Symbol.dispose]: end,
  };
}

function describeStep(
  label: string,
  { step, loss, more }: StepReport,
  totalSteps: number,
  times: readonly { at: number; tokens: number }[],
): string {
  const [first, ...rest] = times as [{ at: number }, ...{ at: number; tokens: number }[]];
  const seconds = ((rest.at(-1)?.at ?? first.at) - first.at) / 1000;
  const tokens = rest.reduce((sum, one) => sum + one.tokens, 0);
  const left = ((totalSteps - step) * seconds) / rest.length;
  return (
    `${label} ${String(step).padStart(String(totalSteps).length)}/${totalSteps} | loss ${loss.toFixed(4)} | ` +
    (more === undefined ? '' : `${more} | `) +
    `${seconds > 0 ? Math.round(tokens / seconds) : 0} tokens/s | ${describeSeconds(left)} left`
  );
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}\n`).join('');
}
