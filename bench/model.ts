/*
 * Races small models with torch and transformers (bench/peers/torch_reference.py): A B A B, a process each, ratios of
 * medians. `npm run bench:model`; torch runs if VIRTUAL_ENV or .venv has torch and transformers.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findPython } from './support/peer.ts';

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

function rate(command: string, args: string[]): number {
  const output = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const line = output.trim().split('\n').at(-1) ?? '';
  return (JSON.parse(line) as { tokens_per_s_median: number }).tokens_per_s_median;
}

const middle = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2;
};

console.log('size   what        finer1       torch        finer1 / torch (tokens/s)');
for (const { name, hidden, layers } of SIZES) {
  for (const [what, peer] of Object.entries(MEASUREMENTS)) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(
        rate('npx', ['tsx', path('support/smallModelWorker.ts'), String(hidden), String(layers), what]),
      );
      if (python === undefined) continue;
      const shape = ['--hidden', String(hidden), '--layers', String(layers)];
      theirs.push(rate(python, [path('peers/torch_reference.py'), ...shape, ...peer]));
    }
    const cells = [name.padEnd(6), what.padEnd(11), middle(ours).toFixed(0).padEnd(12)];
    if (theirs.length > 0)
      cells.push(middle(theirs).toFixed(0).padEnd(12), (middle(ours) / middle(theirs)).toFixed(2));
    console.log(cells.join(' '));
  }
}
