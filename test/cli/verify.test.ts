import { cpSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClassifyRecord } from '../../src/classify/record.ts';
import { birdNames, drawPictures, TINY_BASE } from '../support/birds.ts';
import { runFiner1 } from '../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'finer1-verify-'));
const model = join(folder, 'model');
let records: [ClassifyRecord, ClassifyRecord];

const write = (...of: object[]): string => {
  const file = join(mkdtempSync(join(folder, 'record-')), 'record.jsonl');
  writeFileSync(file, of.map((one) => `${JSON.stringify(one)}\n`).join(''));
  return file;
};
const verify = (...args: string[]): ReturnType<typeof runFiner1> => runFiner1(['verify', ...args]);

beforeAll(async () => {
  cpSync(TINY_BASE, model, { recursive: true });
  for (const [i, picture] of (await drawPictures(2)).entries())
    writeFileSync(join(folder, `${i}.png`), picture);
  const { stdout } = await runFiner1([
    ...['classify', '--model', model, '--image', folder, '--candidates', birdNames(3).join(',')],
    ...['--max-new-tokens', '12', '--json'],
  ]);
  records = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ClassifyRecord) as typeof records;
  expect(records).toHaveLength(2);
});

describe('finer1 verify', () => {
  it('confirms records, one or several', async () => {
    const both = await verify(write(...records));
    expect(both.stdout).toMatch(
      /^\S+:1 \(\S+0\.png\): confirmed\n\S+:2 \(\S+1\.png\): confirmed\n2 of 2 confirmed\n$/,
    );
    expect(both.code).toBe(0);
    const one = write(records[0]);
    expect((await verify(one)).stdout).toBe(`${one} (${records[0].image.path}): confirmed\n`);
  });

  it('says what of a record is not what comes out: label, reasoning, a probability', async () => {
    const [record] = records;
    const [first = '', second = ''] = Object.keys(record.probabilities ?? {});
    const label = record.label === first ? second : first;
    const probability = (record.probabilities as Record<string, number>)[first] as number;
    const changed = {
      ...record,
      label,
      reasoning: `${record.reasoning} surely`,
      probabilities: { ...record.probabilities, [first]: probability + 2e-4 },
    };
    const { code, stdout } = await verify(write(changed));
    expect(stdout.split('\n').slice(1)).toEqual([
      `  label: recorded "${label}", found "${record.label}"`,
      `  reasoning: recorded "${record.reasoning} surely", found "${record.reasoning}"`,
      `  probabilities["${first}"]: recorded ${probability + 2e-4}, found ${probability}`,
      '',
    ]);
    expect(stdout).toContain('NOT confirmed');
    expect(code).toBe(1);
  });

  it('catches a changed picture', async () => {
    const [record] = records;
    const changed = join(mkdtempSync(join(folder, 'changed-')), '0.png');
    const bytes = readFileSync(record.image.path);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(changed, bytes);
    const { code, stdout } = await verify(write(record), '--image', changed);
    expect(stdout).toMatch(
      /NOT confirmed\n {2}image\.sha256: recorded "[0-9a-f]{64}", found "[0-9a-f]{64}"\n$/,
    );
    expect(code).toBe(1);
  });

  it('catches a changed prompt: its text, what it is made of, its version', async () => {
    const [record] = records;
    const text = await verify(write({ ...record, prompt: `${record.prompt} Be brief.` }));
    expect(text.stdout).toMatch(/NOT confirmed\n {2}prompt: recorded ".* Be brief\.", found ".*"\n$/);
    const candidates = ['heron', ...(record.candidates ?? [])];
    const parts = await verify(write({ ...record, candidates }));
    expect(parts.stdout).toMatch(/NOT confirmed\n {2}prompt: recorded ".*", found ".*heron.*"\n$/);
    const version = await verify(write({ ...record, promptVersion: 'classify-0' }));
    expect(version.stdout).toContain('promptVersion: recorded "classify-0", found "classify-1"');
    expect([text.code, parts.code, version.code]).toEqual([1, 1, 1]);
  });

  it('catches a changed weight, and a changed setting of the model', async () => {
    const [record] = records;
    const changed = mkdtempSync(join(folder, 'model-'));
    cpSync(model, changed, { recursive: true });
    const weights = join(changed, 'model-00002-of-00003.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(weights, bytes);
    const settings = join(changed, 'preprocessor_config.json');
    writeFileSync(settings, readFileSync(settings, 'utf8').replace('28224', '14112'));
    const { code, stdout } = await verify(write(record), '--model', changed);
    expect(stdout.split('\n').slice(1)).toEqual([
      expect.stringMatching(
        /^ {2}model\.weights\["model-00002-of-00003\.safetensors"\]: recorded ".{64}", found ".{64}"$/,
      ),
      expect.stringMatching(
        /^ {2}model\.config\["preprocessor_config\.json"\]: recorded ".{64}", found ".{64}"$/,
      ),
      '',
    ]);
    expect(code).toBe(1);
  });

  it('finds a picture that has moved by --image, and says so where it is gone', async () => {
    const [, record] = records;
    const moved = join(mkdtempSync(join(folder, 'moved-')), 'bird.png');
    renameSync(record.image.path, moved);
    const file = write(record);
    const gone = await verify(file);
    expect(gone.stderr).toMatch(
      /the picture \S+1\.png cannot be read: ENOENT.* Say where it is with --image\./,
    );
    expect(gone.code).toBe(1);
    expect((await verify(file, '--image', moved)).stdout).toMatch(/: confirmed\n$/);
    const both = await verify(write(...records), '--image', moved);
    expect(both.stderr).toMatch(
      /holds 2 records, but --image names one picture\. Give a file of one record\./,
    );
    renameSync(moved, record.image.path);
    const piped = await verify(write({ ...record, image: { ...record.image, path: '-' } }));
    expect(piped.stderr).toContain('the picture came from stdin. Say where it is with --image.');
  });

  it.each([
    ['not there', undefined, /cannot be read: ENOENT.* Give what finer1 classify --json printed/],
    ['empty', '\n', /record\.json is empty\. Give what/],
    ['cut short', '{"label": "owl", "ref', /record\.json:1 is no JSON; a record was expected/],
    [
      'of something else',
      '{"label": "owl"}',
      /record\.json is no record of finer1 classify:\n.*expected boolean[^]*at refused/,
    ],
  ])('says of a record that it is %s', async (_, text, message) => {
    const file = join(mkdtempSync(join(folder, 'damaged-')), 'record.json');
    if (text !== undefined) writeFileSync(file, text);
    const { code, stdout, stderr } = await verify(file);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at node');
    expect([code, stdout]).toEqual([1, '']);
  });

  it('names line and field of the record that is damaged', async () => {
    const file = write(records[0], { ...records[1], seed: 7 });
    const { code, stderr } = await verify(file);
    expect(stderr).toMatch(/record\.jsonl:2 is no record of finer1 classify:\n.*\n.*at seed/);
    expect(code).toBe(1);
  });
});
