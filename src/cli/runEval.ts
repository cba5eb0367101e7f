import { log } from '../common/log.ts';
import { type EvalConfig, evalSchema, parseEvalConfig } from '../config/eval.ts';
import { compareWith, readResults } from '../eval/compare.ts';
import { evaluate } from '../eval/evaluate.ts';
import { formatResults } from '../eval/print.ts';
import type { LeftOut } from '../eval/questions.ts';
import type { EvalArguments } from './eval.ts';
import { abortOnSignal } from './interrupt.ts';

/** Evaluates a model, and prints how right it is. */
export async function runEval(options: EvalArguments): Promise<void> {
  const config = parseEvalConfig(pickConfig(options));
  // Before hours are spent.
  const other = config.compare === undefined ? undefined : readResults(config.compare);
  const results = await abortOnSignal(async (signal) => {
    try {
      return await evaluate(config, signal);
    } catch (error) {
      if (signal.aborted && config.out !== undefined) {
        log.info(`The answers so far are in ${config.out}; the same command goes on.`);
      }
      throw error;
    }
  });
  sayLeftOut(results.leftOut);
  const comparison =
    config.compare === undefined || other === undefined
      ? undefined
      : compareWith(config.compare, other, results, config.seed);
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ ...results, comparison }, undefined, 2)}\n`
      : formatResults(results, comparison),
  );
}

/* What yargs adds, and its other spellings, are no options of an evaluation. */
const pickConfig = (options: EvalArguments): EvalConfig =>
  Object.fromEntries(
    Object.entries(options).filter(([name, value]) => name in evalSchema.shape && value !== undefined),
  ) as EvalConfig;

const NAMED_AT_MOST = 10;

function sayLeftOut(leftOut: readonly LeftOut[]): void {
  if (leftOut.length === 0) return;
  const named = leftOut
    .slice(0, NAMED_AT_MOST)
    .map(({ file, row, image, reason }) => `  ${file}, row ${row}: ${image}: ${reason}`);
  const more = leftOut.length > named.length ? [`  and ${leftOut.length - named.length} more`] : [];
  log.warn(
    [`${leftOut.length} rows are left out, as their pictures cannot be used:`, ...named, ...more].join('\n'),
  );
}
