import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createPreparer } from '../../src/api/prepare.ts';
import { parseLoadConfig } from '../../src/config/load.ts';
import { parseModelConfig } from '../../src/config/model.ts';
import type { ModelInputs } from '../../src/model/inputs.ts';
import { makeModelFolder } from '../support/modelFolder.ts';
import { GOLDENS } from '../support/safetensors.ts';

const FILES = ['rgb_224x224.png', 'jpeg_640x427.jpg', 'rgb_37x53.png'].map((name) =>
  fileURLToPath(new URL(`image/src/${name}`, GOLDENS)),
);
const folder = makeModelFolder();
const file = join(folder, 'config.json');
const model = parseModelConfig(JSON.parse(readFileSync(file, 'utf8')), file);
const ask = (pictures: number) => [
  { role: 'user' as const, content: Array.from({ length: pictures }, () => ({ type: 'image' as const })) },
];
const bytesOf = ({ pixelValues }: ModelInputs): Buffer =>
  Buffer.from(pixelValues?.buffer ?? new ArrayBuffer(0));

describe('several pictures', () => {
  it('are those that are prepared one by one, in one conversation or several', async () => {
    await using preparer = createPreparer(folder, model, parseLoadConfig({}));
    const single: ModelInputs[] = [];
    for (const picture of FILES) single.push(await preparer.prepare(ask(1), [picture]));
    const [together, ...apart] = await Promise.all([
      preparer.prepare(ask(3), FILES),
      ...FILES.map((picture) => preparer.prepare(ask(1), [picture])),
    ]);
    expect(together.imageGridThw).toEqual(single.flatMap(({ imageGridThw }) => imageGridThw));
    expect(bytesOf(together).equals(Buffer.concat(single.map(bytesOf)))).toBe(true);
    for (const [i, one] of single.entries()) {
      expect(apart[i]?.inputIds).toEqual(one.inputIds);
      expect(bytesOf(apart[i] as ModelInputs).equals(bytesOf(one))).toBe(true);
    }
  });

  it('are refused for the one that cannot be used', async () => {
    await using preparer = createPreparer(folder, model, parseLoadConfig({}));
    await expect(preparer.prepare(ask(2), [FILES[0] as string, '/no/such.png'])).rejects.toThrow(
      /no\/such\.png cannot be used as a picture/,
    );
  });
});
