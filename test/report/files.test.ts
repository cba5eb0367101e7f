import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataError } from '../../src/common/errors.ts';
import { type MetricsRow, metricsRow, readJsonFile, readLines, runFacts } from '../../src/report/files.ts';

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-report-files-'));
  file = join(folder, 'metrics.jsonl');
});
afterAll(() => rmSync(folder, { recursive: true }));

async function read(text: string): Promise<{ rows: MetricsRow[]; torn: number }> {
  writeFileSync(file, text);
  const rows: MetricsRow[] = [];
  let torn = 0;
  for await (const row of readLines(file, metricsRow, () => torn++)) rows.push(row);
  return { rows, torn };
}

describe('readLines', () => {
  it('reads rows; what is not finite is null', async () => {
    const text = '{"step":1,"loss":2.5}\n{"step":2,"loss":null}\n';
    expect(await read(text)).toEqual({
      rows: [
        { step: 1, loss: 2.5 },
        { step: 2, loss: null },
      ],
      torn: 0,
    });
  });

  it('finds none where there is no file, or an empty one', async () => {
    expect(await read('')).toEqual({ rows: [], torn: 0 });
    rmSync(file);
    for await (const row of readLines(file, metricsRow, () => undefined)) expect(row).toBeUndefined();
  });

  it.each(['{"step":2,"lo', '{"step":2,"loss":1}'])(
    'passes over a last row that a kill tore: %s',
    async (last) => {
      expect(await read(`{"step":1}\n${last}`)).toEqual({ rows: [{ step: 1 }], torn: 1 });
    },
  );

  it('names the line of a row that is damaged', async () => {
    const damaged = read('{"step":1}\n{"step":\n{"step":3}\n');
    await expect(damaged).rejects.toThrow(DataError);
    await expect(damaged).rejects.toThrow(`${file}, row 2 is no JSON`);
    await expect(read('{"step":1}\n{"step":"two"}\n')).rejects.toThrow(
      `${file}, row 2, field step: expected number; found "two". Correct the row, or leave it out.`,
    );
  });
});

describe('readJsonFile', () => {
  it('names the file and the field that are damaged; a missing file is none', () => {
    expect(readJsonFile(join(folder, 'none.json'), runFacts)).toBeUndefined();
    writeFileSync(file, '{ "sessions": ');
    expect(() => readJsonFile(file, runFacts)).toThrow(`${file} cannot be read`);
    writeFileSync(file, '{ "rowsTooLong": "many" }');
    expect(() => readJsonFile(file, runFacts)).toThrow(/rowsTooLong/);
  });
});
