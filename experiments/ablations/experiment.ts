import type { Experiment } from '../support/open.ts';

const VARIANTS = ['dapo', 'without-intra', 'without-inter', 'ratio-8-2', 'ratio-2-8'] as const;

export const experiment: Experiment = {
  models: ['sft', 'tapo', ...VARIANTS],
  compared: ['sft', ...VARIANTS].map((variant) => ['tapo', variant] as const),
};
