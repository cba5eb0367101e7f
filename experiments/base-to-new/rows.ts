import type { PaperRow } from '../support/paper.ts';

/** Table 1 of the paper, as far as it is of this method: the base models, and what the two stages make of them. */
export const rows: readonly PaperRow[] = [
  { name: 'qwen2.5-vl-3b', model: 'Qwen/Qwen2.5-VL-3B-Instruct' },
  { name: 'qwen2.5-vl-7b', model: 'Qwen/Qwen2.5-VL-7B-Instruct' },
  { name: 'fine-r1-3b', trainings: ['3b-sft.yaml', '3b-tapo.yaml'] },
  { name: 'fine-r1-7b', trainings: ['7b-sft.yaml', '7b-tapo.yaml'] },
];
