/*
 * Load, prefill and decoding of a checkpoint with the shapes of the 3B (bench/peers/make_full_size.py), in bfloat16:
 * a picture of 448 x 448 and 64 tokens of text, 16 tokens generated, as bench/peers/transformers_full_size.py measures
 * its side. `npm run bench:full-size -- DIR [REPEATS]`; prints one line of JSON.
 */
import { loadModel } from '../src/index.ts';
import { peakMiB } from './support/memory.ts';
import { median } from './support/timing.ts';

const [folder = '', repeats = '2'] = process.argv.slice(2);
const [TEXT, SIDE, NEW_TOKENS] = [64, 32, 16];

const seconds = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1e3;
};

const start = performance.now();
using model = await loadModel(folder, { backend: 'tensorflow', dtype: 'bfloat16' });
const loadSeconds = (performance.now() - start) / 1e3;

const { visionStartTokenId, visionEndTokenId, imageTokenId } = model.config;
const imageTokens = (SIDE * SIDE) / 4;
const words = Array.from({ length: TEXT - 2 }, (_, i) => 1000 + 37 * i);
const ids = [
  visionStartTokenId,
  ...Array.from({ length: imageTokens }, () => imageTokenId),
  visionEndTokenId,
  ...words,
];
const inputs = {
  inputIds: [ids],
  attentionMask: [ids.map(() => 1)],
  pixelValues: Float32Array.from({ length: SIDE * SIDE * 1176 }, (_, i) => Math.sin(i)),
  imageGridThw: [[1, SIDE, SIDE]],
};
const generate = (maxNewTokens: number) => model.generate(inputs, { maxNewTokens, stopTokens: [] });

const first = await seconds(() => generate(1));
await generate(3);
const prefills: number[] = [];
const rates: number[] = [];
for (let i = 0; i < Number(repeats); i++) {
  const prefill = await seconds(() => generate(1));
  const all = await seconds(() => generate(NEW_TOKENS));
  prefills.push(prefill);
  rates.push((NEW_TOKENS - 1) / (all - prefill));
}
console.log(
  JSON.stringify({
    loadSeconds,
    firstPrefillSeconds: first,
    prefillSeconds: median(prefills),
    tokensPerSecond: median(rates),
    peakMiB: Math.round(peakMiB()),
  }),
);
