/*
 * Races small models with torch and transformers (bench/peers/torch_reference.py): A B A B, a process each, ratios of
 * medians; of SFT steps also peaks of resident memory, and what their products take alone. What is measured
 * is built as the package is. `npm run bench:model`; torch runs if VIRTUAL_ENV or .venv has torch and transformers.
 */
import { fileURLToPath } from 'node:url';
import { bundle } from '../scripts/bundle.ts';
import { findPython, measure } from './support/peer.ts';
import { median } from './support/timing.ts';

const SIZES = [
  { name: 'tiny', hidden: 64, layers: 4 },
  { name: 'small', hidden: 256, layers: 8 },
];
/* Our name of a measurement, and the peer's arguments for it. */
const MEASUREMENTS: Record<string, string[]> = {
  'generate-1': ['--what', 'generate', '--batch', '1'],
  'generate-8': ['--what', 'generate', '--batch', '8'],
  score: ['--what', 'score'],
  // The peer's has an optimiser's step in it, ours in the second.
  gradient: ['--what', 'sft'],
  sft: ['--what', 'sft'],
};
const ROUNDS = 2;
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const python = findPython();

/* What a process prints; the last three by ours, of an SFT step. */
interface Measured {
  median_s: number;
  tokens_per_s_median: number;
  peak_rss_mb: number;
  step_flops: number;
  best_flops: number;
  products_s: number;
}

await bundle({ smallModelWorker: 'bench/support/smallModelWorker.ts' }, 'dist/bench');
const worker = path('../dist/bench/smallModelWorker.js');

console.log('size   what        finer1       torch        finer1 / torch (tokens/s)');
for (const { name, hidden, layers } of SIZES) {
  for (const [what, peer] of Object.entries(MEASUREMENTS)) {
    const ours: Measured[] = [];
    const theirs: Measured[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(measure(process.execPath, [worker, String(hidden), String(layers), what]) as Measured);
      if (python === undefined) continue;
      const shape = ['--hidden', String(hidden), '--layers', String(layers)];
      theirs.push(measure(python, [path('peers/torch_reference.py'), ...shape, ...peer]) as Measured);
    }
    const of = (runs: Measured[], figure: keyof Measured): number => median(runs.map((run) => run[figure]));
    const rates = (figure: keyof Measured): string[] => {
      const cells = [of(ours, figure).toFixed(0).padEnd(12)];
      if (theirs.length === 0) return cells;
      return [
        ...cells,
        of(theirs, figure).toFixed(0).padEnd(12),
        (of(ours, figure) / of(theirs, figure)).toFixed(2),
      ];
    };
    console.log([name.padEnd(6), what.padEnd(11), ...rates('tokens_per_s_median')].join(' '));
    if (what !== 'sft') continue;
    console.log([name.padEnd(6), 'peak, MiB'.padEnd(11), ...rates('peak_rss_mb')].join(' '));
    const products = of(ours, 'products_s');
    const times = (runs: Measured[]): string => (of(runs, 'median_s') / products).toFixed(2);
    console.log(
      `${name.padEnd(6)} a step's products alone take ${(1e3 * products).toFixed(1)} ms; the step ${times(ours)} times that` +
        `${theirs.length === 0 ? '' : `, torch's ${times(theirs)}`}; it multiplies at ` +
        `${(of(ours, 'step_flops') / 1e9).toFixed(0)} GFLOP/s, the fastest of the products at ${(of(ours, 'best_flops') / 1e9).toFixed(0)}`,
    );
  }
}
