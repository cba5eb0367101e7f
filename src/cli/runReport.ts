import { basename, join, resolve } from 'node:path';
import { ConfigError } from '../common/errors.ts';
import { replaceFile } from '../model/safetensors.ts';
import { bytes } from '../report/format.ts';
import { report } from '../report/report.ts';

/**
 * Writes the report of some runs, and says where it is.
 *
 * @param out default: `report.html` in the folder, if there is one
 * @throws ConfigError if there is no run, or there are several and no `out`
 * @throws DataError if a file of a run is damaged
 * @throws CheckpointError if the report cannot be written; a former one is left as it was
 */
export async function runReport(runs: readonly string[], out: string | undefined): Promise<void> {
  const [first] = runs;
  if (out === undefined && (first === undefined || runs.length > 1)) {
    throw new ConfigError(
      `${runs.length} runs have no folder in common. Say where their report goes by --out FILE.`,
    );
  }
  const file = out ?? join(first ?? '', 'report.html');
  const { page, summary } = await report(runs, runs.map((run) => basename(resolve(run))).join(', '));
  const content = Buffer.from(page);
  replaceFile(file, (write) => {
    write(content);
  });
  process.stdout.write(`${file}: ${summary}, ${bytes(content.length)}.\n`);
}
