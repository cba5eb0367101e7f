import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { orCannotWrite } from '../../model/safetensors.ts';

/** A file of JSON, a line a row, that grows. */
export interface LinesFile extends Disposable {
  /** Appends rows; when this returns they survive a kill of the process. */
  append(rows: readonly object[]): void;
  /** Has the disk hold what was appended: it survives a loss of power too. */
  sync(): void;
}

/**
 * Opens a file to append to.
 *
 * @param lastStep rows of later steps, and what a kill or a loss of power left of a row, are cut off first; rows stand
 *   in the order of their `step`
 * @throws CheckpointError if it cannot be read or written
 */
export function openLines(file: string, lastStep: number): LinesFile {
  const handle = orCannotWrite(file, () => openSync(file, 'a+'));
  try {
    orCannotWrite(file, () => {
      ftruncateSync(handle, endOf(readFileSync(file), lastStep));
    });
  } catch (error) {
    closeSync(handle);
    throw error;
  }
  return {
    append: (rows) => {
      const text = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
      orCannotWrite(file, () => {
        for (let done = 0; done < text.length;) done += writeSync(handle, text, done);
      });
    },
    sync: () => {
      orCannotWrite(file, () => {
        fsyncSync(handle);
      });
    },
    [Symbol.dispose]: () => {
      closeSync(handle);
    },
  };
}

const NEWLINE = 10;

/* Where the first row begins that is later, or not whole. */
function endOf(bytes: Buffer, lastStep: number): number {
  let begin = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, begin)) {
    const step = stepOf(bytes.toString('utf8', begin, end));
    if (step === undefined || step > lastStep) break;
    begin = end + 1;
  }
  return begin;
}

function stepOf(line: string): number | undefined {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === 'number' ? step : undefined;
  } catch {
    return undefined;
  }
}
