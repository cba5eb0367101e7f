/*
 * A table of the paper at its own size: `npm run experiment:paper -- NAME [--row ROW] [--dry-run]` trains and tests each row
 * of experiments/NAME/rows.ts by finer1's commands. What is finished is not done again; what was broken off goes on.
 * Neither table was ever run here: --dry-run prints the commands, and which files are missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ConfigError } from '../src/common/errors.ts';
import { path } from '../scripts/pipeline.ts';
import { missingInputs, openRows, stepsOf } from './support/paper.ts';

const { values, positionals } = parseArgs({
  options: { row: { type: 'string' }, 'dry-run': { type: 'boolean', default: false } },
  allowPositionals: true,
});
const { folder, rows } = await openRows(positionals[0], values.row);
if (values['dry-run']) {
  for (const row of rows) {
    console.log(`\n# ${row.name}`);
    for (const { command } of stepsOf(folder, row)) console.log(`npx finer1 ${command.join(' ')}`);
  }
  const missing = missingInputs(folder, rows);
  console.log(missing.length === 0 ? '\nAll inputs are there.' : `\nMissing:\n  ${missing.join('\n  ')}`);
  process.exit();
}
const missing = missingInputs(folder, rows);
if (missing.length > 0) {
  throw new ConfigError(`${missing.join(', ')}: not there. The README of ${folder} says what belongs where.`);
}
for (const step of rows.flatMap((row) => stepsOf(folder, row))) {
  if (step.isDone()) continue;
  const resume = step.run !== undefined && existsSync(step.run) ? ['--resume'] : [];
  const { status } = spawnSync(process.execPath, [path('bin/finer1.js'), ...step.command, ...resume], {
    cwd: path('.'),
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
