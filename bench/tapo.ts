/*
 * Races one whole TAPO step of small models with torch and transformers (bench/peers/torch_tapo.py): A B A B, a process each,
 * ratios of medians. `npm run bench:tapo`; torch runs if VIRTUAL_ENV or .venv has torch and transformers.
 */
import { fileURLToPath } from 'node:url';
import { findPython, measure } from './support/peer.ts';
import { median } from './support/timing.ts';

const SIZES = [
  { name: 'tiny', hidden: 64, layers: 4 },
  { name: 'small', hidden: 256, layers: 8 },
];
const PHASES = ['rollout_s', 'score_s', 'update_s', 'step_s'] as const;
const ROUNDS = 3;
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const python = findPython();

type Seconds = Record<(typeof PHASES)[number], number>;

console.log('size   phase      finer1 s   torch s    torch / finer1');
for (const { name, hidden, layers } of SIZES) {
  const ours: Seconds[] = [];
  const theirs: Seconds[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(
      measure('npx', ['tsx', path('support/tapoWorker.ts'), String(hidden), String(layers)]) as Seconds,
    );
    if (python === undefined) continue;
    const shape = ['--hidden', String(hidden), '--layers', String(layers), '--prompts', '16'];
    theirs.push(measure(python, [path('peers/torch_tapo.py'), ...shape]) as Seconds);
  }
  for (const phase of PHASES) {
    const own = median(ours.map((one) => one[phase]));
    const cells = [name.padEnd(6), phase.slice(0, -2).padEnd(10), own.toFixed(3).padEnd(10)];
    if (theirs.length > 0) {
      const peer = median(theirs.map((one) => one[phase]));
      cells.push(peer.toFixed(3).padEnd(10), (peer / own).toFixed(2));
    }
    console.log(cells.join(' '));
  }
}
