import yargs from 'yargs';
import { BackendError, CheckpointError, ConfigError, DataError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { FINER1_VERSION } from '../common/version.ts';
import { classifyCommand } from './classify.ts';
import { dataCommand } from './data.ts';
import { doctorCommand } from './doctor.ts';
import { evalCommand } from './eval.ts';
import { generateCommand } from './generate.ts';
import { Interrupted } from './interrupt.ts';
import { planCommand } from './plan.ts';
import { reportCommand } from './report.ts';
import { setupCommand } from './setup.ts';
import { sftCommand } from './sft.ts';
import { tapoCommand } from './tapo.ts';
import { verifyCommand } from './verify.ts';

const FAILED = 1;
const WRONG_USAGE = 2;

/**
 * Runs the command line, and sets the process's exit status: 0; 1 for what failed; 2 for wrong usage; 128 and the
 * signal's number for an interrupt.
 *
 * @param args what stands after `finer1`
 */
export async function main(args: string[]): Promise<void> {
  const parser = yargs(args)
    .scriptName('finer1')
    .usage('$0 <command>\n\nTrain and run visual models that name the exact sub-category.')
    .command(setupCommand)
    .command(doctorCommand)
    .command(generateCommand)
    .command(evalCommand)
    .command(dataCommand)
    .command(planCommand)
    .command(sftCommand)
    .command(tapoCommand)
    .command(reportCommand)
    .command(classifyCommand)
    .command(verifyCommand)
    .demandCommand(1, 'Name a command.')
    .strict()
    .version(FINER1_VERSION)
    .epilogue(
      'FINER1_CACHE: folder of the cache. FINER1_TENSORFLOW: a TensorFlow to use. FINER1_LOG: log level.',
    )
    .wrap(100)
    .exitProcess(false)
    .fail((message: string | null, error: unknown) => {
      throw error instanceof Error && error.name !== 'YError'
        ? error
        : new UsageError(message ?? messageOf(error));
    });
  try {
    await parser.parseAsync();
  } catch (error) {
    process.exitCode = report(error);
  }
}

class UsageError extends Error {}

/* Says what went wrong, and gives the exit status for it. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(
      `${error.message}\n\`finer1 --help\` shows the commands, \`finer1 <command> --help\` the options.\n`,
    );
    return WRONG_USAGE;
  }
  if (error instanceof Interrupted) {
    log.error(error.message);
    return error.exitStatus;
  }
  const expected = [BackendError, CheckpointError, ConfigError, DataError].some(
    (type) => error instanceof type,
  );
  log.error(messageOf(error));
  const stack = error instanceof Error ? error.stack : undefined;
  if (stack !== undefined) log[expected ? 'debug' : 'error'](stack);
  return FAILED;
}
