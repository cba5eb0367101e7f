import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { generate } from '../../src/model/generate.ts';
import { onEveryBackend } from '../support/backends.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';
import { loadGoldenModel, readCase } from './support.ts';

const rowsOf = ({ shape, data }: Golden): number[][] => {
  const [rows = 0, columns = 0] = shape;
  return Array.from({ length: rows }, (_, i) => Array.from(data.slice(i * columns, (i + 1) * columns)));
};

onEveryBackend(() => {
  describe.each(['tiny-a', 'tiny-b'])('%s', (name) => {
    it.each(['text_only', 'one_image', 'two_images', 'batch_left'])(
      'takes the tokens of transformers for %s',
      async (caseName) => {
        const { inputs } = readCase(name, caseName);
        const golden = readGolden(new URL(`generate/${name}/${caseName}.safetensors`, GOLDENS));
        const meta = JSON.parse(
          readFileSync(new URL(`generate/${name}/${caseName}.json`, GOLDENS), 'utf8'),
        ) as { eos_used: number; pad: number };
        using model = loadGoldenModel(name);

        const free = await generate(model, inputs, { maxNewTokens: 32 });
        expect(free.tokens).toEqual(rowsOf(golden.tokens as Golden));
        free.logProbs.flat().forEach((logProb, i) => {
          expect(Math.abs(logProb - ((golden.log_probs as Golden).data[i] as number))).toBeLessThan(1e-3);
        });

        const stopped = await generate(model, inputs, { maxNewTokens: 32, stopTokens: [meta.eos_used] });
        const expected = rowsOf(golden.tokens_with_eos as Golden).map((row) => {
          const stop = row.indexOf(meta.eos_used);
          return stop === -1 ? row : row.slice(0, stop + 1);
        });
        expect(stopped.tokens).toEqual(expected);
        expect(stopped.finishReasons).toEqual(
          expected.map((row) => (row.at(-1) === meta.eos_used ? 'stop' : 'length')),
        );
      },
    );
  });
});
