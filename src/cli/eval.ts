import type { CommandModule } from 'yargs';
import { type EvalConfig, evalSchema, OPTION_ORDERS } from '../config/eval.ts';

interface EvalArguments extends EvalConfig {
  json: boolean;
}

const { shape } = evalSchema;
const describe = (name: keyof typeof shape): { describe: string } => ({
  describe: shape[name].description ?? '',
});

/** `finer1 eval`: how right a model is. */
export const evalCommand: CommandModule<object, EvalArguments> = {
  command: 'eval',
  describe: 'Test a model: the released protocol and a strict one, side by side, with intervals',
  builder: {
    model: { type: 'string', demandOption: true, ...describe('model') },
    data: { type: 'string', array: true, demandOption: true, ...describe('data') },
    images: { type: 'string', ...describe('images') },
    'open-world': { type: 'boolean', default: false, ...describe('openWorld') },
    options: { choices: OPTION_ORDERS, array: true, ...describe('options') },
    'max-risk': { type: 'number', ...describe('maxRisk') },
    prompt: { choices: ['released', 'plain'] as const, default: 'released' as const, ...describe('prompt') },
    siglip: { type: 'string', ...describe('siglip') },
    seed: { type: 'number', default: 0, ...describe('seed') },
    rows: { type: 'number', ...describe('rows') },
    'max-new-tokens': { type: 'number', default: 2048, ...describe('maxNewTokens') },
    batch: { type: 'number', default: 16, ...describe('batch') },
    compare: { type: 'string', ...describe('compare') },
    out: { type: 'string', ...describe('out') },
    json: { type: 'boolean', default: false, describe: 'Print what results.json holds' },
  },
  handler: async (options) => {
    const { runEval } = await import('./runEval.ts');
    await runEval(options);
  },
};

export type { EvalArguments };
