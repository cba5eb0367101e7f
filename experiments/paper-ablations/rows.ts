import type { PaperRow } from '../support/paper.ts';

const SFT = '../base-to-new/3b-sft.yaml';
const after = (name: string): PaperRow => ({ name, trainings: [SFT, `${name}.yaml`] });

/** The paper's ablations of the 3B, all from the stage-1 checkpoint of the main table. */
export const rows: readonly PaperRow[] = [
  { name: 'sft', trainings: [SFT] },
  after('dapo'),
  { name: 'tapo', trainings: [SFT, '../base-to-new/3b-tapo.yaml'] },
  after('without-intra'),
  after('without-inter'),
  after('ratio-8-2'),
  after('ratio-2-8'),
];
