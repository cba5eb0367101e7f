import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { runFiner1 } from '../support/cli.ts';
import { makeModelFolder } from '../support/modelFolder.ts';
import { GOLDENS } from '../support/safetensors.ts';

const PICTURE = fileURLToPath(new URL('image/src/exif6_64x48.jpg', GOLDENS));

describe('finer1 generate refuses', () => {
  let model: string;
  beforeAll(() => {
    model = makeModelFolder();
  });
  const ask = (...more: string[]): ReturnType<typeof runFiner1> =>
    runFiner1(['generate', '--model', model, '--prompt', 'x', ...more]);

  it.each([
    [['--max-new-tokens', 'many'], 'maxNewTokens is NaN; a whole number above 0 was expected'],
    [['--max-new-tokens', '0'], 'maxNewTokens is 0; a whole number above 0 was expected'],
    [['--temperature', '-1'], 'temperature is -1; a number from 0 on was expected'],
    [['--temperature', '1', '--temperature', '2'], 'temperature is 1,2; a number from 0 on was expected'],
    [['--top-k', '-1'], 'topK is -1; a whole number from 0 (off) on was expected'],
    [['--top-p', '0'], 'topP is 0; a number above 0 and up to 1 was expected'],
    [['--repetition-penalty', '0'], 'repetitionPenalty is 0; a number above 0 was expected'],
    [['--seed', '1.5'], 'seed is 1.5; a whole number was expected'],
    [['--image', tmpdir()], `${tmpdir()} cannot be used as a picture`],
    [
      ['--image', PICTURE, '--image', '/none.jpg'],
      '/none.jpg cannot be used as a picture: Input file is missing',
    ],
  ])('%j', async (options, message) => {
    const { code, stdout, stderr } = await ask(...options);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at '); // a stack
    expect([code, stdout]).toEqual([1, '']);
  });

  it('a folder that holds no model, and a file in its place', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'finer1-no-model-'));
    const empty = await runFiner1(['generate', '--model', folder, '--prompt', 'x']);
    expect(empty.stderr).toContain(`${folder}/config.json cannot be read`);
    expect(empty.code).toBe(1);
    const file = join(folder, 'model.txt');
    writeFileSync(file, '');
    const given = await runFiner1(['generate', '--model', file, '--prompt', 'x']);
    expect(given.stderr).toContain(`${file} is a file. Give the folder of a model`);
    expect(given.code).toBe(1);
  });

  it.each([
    [['--dtype', 'int4'], /Argument: dtype, Given: "int4", Choices: "auto", "float32", "bfloat16"/],
    [['--samples', '2'], /Unknown argument: samples/],
  ])('%j as wrong usage', async (options, message) => {
    const { code, stderr } = await ask(...options);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('to run without a model or a prompt', async () => {
    const { code, stderr } = await runFiner1(['generate']);
    expect(stderr).toContain('Missing required arguments: model, prompt');
    expect(code).toBe(2);
  });
});
