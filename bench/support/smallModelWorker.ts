/*
 * One measurement of a small model in a process of its own. Arguments: hidden size, layers, and `score`, `gradient`,
 * `sft` (a step: gradient, clipping and AdamW), `generate-1` or `generate-8`. Prints the medians and the peak of resident
 * memory (MiB) as one line of JSON, and of `sft` what a step's products take alone.
 */
import * as tf from '@tensorflow/tfjs';
import { generate } from '../../src/model/generate.ts';
import type { ModelInputs } from '../../src/model/inputs.ts';
import { score } from '../../src/model/score.ts';
import { selectBackend } from '../../src/runtime/index.ts';
import { lossAndGradients } from '../../src/train/loss.ts';
import { createOptimiser } from '../../src/train/optimiser.ts';
import { createVjp } from '../../src/train/vjp.ts';
import { peakMiB } from './memory.ts';
import { measureProducts } from './productRate.ts';
import { buildSmallModel, smallInputs } from './smallModel.ts';
import { median } from './timing.ts';

const [hidden = '64', layers = '4', what = 'score', repeats = '5'] = process.argv.slice(2);
const [LENGTH, NEW_TOKENS, PROMPT, WARM_UP] = [256, 64, 22, 2];

await selectBackend({ backend: 'tensorflow' });
const model = buildSmallModel({ hidden: Number(hidden), layers: Number(layers) });
const vjp = createVjp(model);
const trained = new Map([...model.parameters].filter(([name]) => name.startsWith('model.')));
const optimiser = createOptimiser(
  trained,
  { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 },
  model.functions.fused,
);

const batch = what.startsWith('generate-') ? Number(what.slice('generate-'.length)) : 4;
const inputs = smallInputs(batch, LENGTH);
const cut = (inputs_: ModelInputs, length: number): ModelInputs => ({
  ...inputs_,
  inputIds: inputs_.inputIds.map((ids) => ids.slice(0, length)),
  attentionMask: inputs_.attentionMask.map((mask) => mask.slice(0, length)),
});
const responses = inputs.inputIds.map((ids) => ids.slice(PROMPT));
const labels = inputs.inputIds.map((ids) => ids.map((id, at) => (at > LENGTH / 2 ? id : -100)));

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1e3;
}

/* Seconds of one repetition, and how many tokens they are for. */
async function once(): Promise<{ seconds: number; tokens: number }> {
  if (what === 'score') {
    const seconds = await timed(() => score(model, cut(inputs, PROMPT), responses));
    return { seconds, tokens: batch * LENGTH };
  }
  if (what === 'gradient' || what === 'sft') {
    const seconds = await timed(async () => {
      const { gradients } = await lossAndGradients(model, vjp, { ...inputs, labels }, [/^model\./]);
      if (what === 'sft') await optimiser.update(gradients, 1e-5);
      const values = [...gradients.values()];
      // Waits for the last of them.
      await values.at(-1)?.data();
      tf.dispose(values);
    });
    return { seconds, tokens: batch * LENGTH };
  }
  const prefill = await timed(() => generate(model, inputs, { maxNewTokens: 1 }));
  const all = await timed(() => generate(model, inputs, { maxNewTokens: NEW_TOKENS }));
  return { seconds: all - prefill, tokens: batch * (NEW_TOKENS - 1) };
}

for (let i = 0; i < WARM_UP; i++) await once();
const runs: { seconds: number; tokens: number }[] = [];
for (let i = 0; i < Number(repeats); i++) runs.push(await once());
const seconds = runs.map((run) => run.seconds);
const middle = median(seconds);
const result: Record<string, number | undefined> = {
  median_s: middle,
  min_s: Math.min(...seconds),
  tokens_per_s_median: (runs[0]?.tokens as number) / middle,
  peak_rss_mb: peakMiB(),
};
if (what === 'sft') {
  const supervised = (labels[0] ?? []).filter((label) => label >= 0).length;
  const products = measureProducts(model, { rows: batch, length: LENGTH, supervised });
  result.step_flops = products.operations / middle;
  result.best_flops = products.best;
  result.products_s = products.seconds;
}
process.stdout.write(`${JSON.stringify(result)}\n`);
