import type { Experiment } from '../support/open.ts';

export const experiment: Experiment = {
  models: ['base', 'sft', 'tapo', 'dapo'],
  compared: [
    ['sft', 'tapo'],
    ['sft', 'dapo'],
    ['dapo', 'tapo'],
  ],
};
