import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { runFiner1 } from '../support/cli.ts';
import { makeModelFolder } from '../support/modelFolder.ts';
import { GOLDENS } from '../support/safetensors.ts';

const PICTURE = fileURLToPath(new URL('image/src/exif6_64x48.jpg', GOLDENS));

describe('finer1 generate', () => {
  let model: string;
  beforeAll(() => {
    model = makeModelFolder();
  });
  const ask = (...more: string[]): ReturnType<typeof runFiner1> =>
    runFiner1(['generate', '--model', model, '--image', PICTURE, '--prompt', 'What is it?', ...more]);

  it('prints a record that is the same on every run, and says that the answer was cut', async () => {
    const options = ['--max-new-tokens', '6', '--temperature', '1', '--seed', '3', '--json'];
    const [first, second] = [await ask(...options), await ask(...options)];
    expect(first.code).toBe(0);
    expect(first.stderr).toContain('The answer was cut at 6 tokens');
    const record = JSON.parse(first.stdout) as { tokens: number[]; seconds: number };
    expect(record).toMatchObject({ model, finishReason: 'length', promptTokens: 74 });
    expect(record.tokens).toHaveLength(6);
    expect({ ...(JSON.parse(second.stdout) as object), seconds: 0 }).toEqual({ ...record, seconds: 0 });
  });

  it('prints the text alone without --json', async () => {
    const [plain, json] = [await ask('--max-new-tokens', '6'), await ask('--max-new-tokens', '6', '--json')];
    expect(plain.stdout).toBe(`${(JSON.parse(json.stdout) as { text: string }).text}\n`);
  });

  it.each([
    ['a model that is not there', ['--model', 'no/such/folder'], /There is no folder no\/such\/folder/],
    ['a picture that is not there', ['--image', '/none.jpg'], /\/none\.jpg cannot be used as a picture/],
    ['an option out of range', ['--top-p', '2'], /topP is 2; a number above 0 and up to 1 was expected/],
  ])('names %s', async (_, options, message) => {
    const base = { '--model': model, '--prompt': 'x' };
    const given = Object.entries(base).filter(([name]) => !options.includes(name));
    const { code, stderr } = await runFiner1(['generate', ...given.flat(), ...options]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});
