import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../common/errors.ts';
import { decided, type TapoConfig } from '../config/tapo.ts';
import { groupAdvantages } from './advantage.ts';
import { keepGroup } from './filter.ts';
import { tapoLoss } from './loss.ts';
import { reward } from './reward.ts';
import { loadTokenRecord, type TokenRecord } from './tokenRecord.ts';

/** A trained response of `generations.jsonl`, as far as a replay reads it. */
interface Row {
  step: number;
  group: number;
  label: string;
  response: string;
  picture: string;
  truncated: boolean;
  trained: boolean;
  advantage: number;
  reward: { overall: number; accuracy: number };
}

/** A number of the step as it was, and as it is now. */
export interface Compared {
  name: string;
  recorded: number | undefined;
  replayed: number;
}

/** What a replay of a step gives. */
export interface Replay {
  responses: number;
  /** loss and its terms, rewards, groups that the filter would keep */
  terms: Compared[];
  /** of each response, in the order of `generations.jsonl` */
  advantages: { group: number; label: string; response: string; recorded: number; replayed: number }[];
}

/**
 * Computes groups, advantages and loss of a step again, from what the run wrote down: as it was, or under another config.
 * With the same config the numbers are those of `metrics.jsonl`.
 *
 * @param run its folder
 * @param config the run's, or another one
 * @param changesReward rewards are computed anew, by the config; else they stay
 * @throws ConfigError if the run does not hold the step, or not what the config needs
 */
export async function replay(
  run: string,
  step: number,
  config: TapoConfig,
  changesReward: boolean,
): Promise<Replay> {
  const rows = rowsOf(run, step);
  const record = loadTokenRecord(run, step);
  const { loss, filters } = decided(config);
  const { classes } = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8')) as { classes: string[] };
  const rewards = rows.map((row) => {
    if (!changesReward) return row.reward;
    const { kind, formatWeight } = config.reward;
    if (kind === 'module')
      throw new ConfigError('A reward module cannot be replayed; set reward.kind to released or strict.');
    return reward(row.response, row.label, { kind, formatWeight, classes });
  });
  const advantages = groupAdvantages(
    rewards.map(({ overall }) => overall),
    rows.map(({ group }) => group),
    { byStd: loss.advantagesByStd },
  );
  const perUpdate = config.batch.promptsPerUpdate * (config.rollout.n1 + config.rollout.n2);
  const recorded = metricsOf(run, step);
  const matrices = matricesOf(record);
  const updates = Array.from(
    { length: Math.ceil(rows.length / perUpdate) },
    (_, i) => [i * perUpdate, (i + 1) * perUpdate] as const,
  );
  const results = await Promise.all(
    updates.map(async ([from, to]) => {
      const part = (of: number[][] | undefined): number[][] | undefined => of && padded(of.slice(from, to));
      const negLogProbs = part(matrices.negLogProbs);
      const refLogProbs = part(matrices.refLogProbs);
      const { metrics } = await tapoLoss(
        {
          logProbs: part(matrices.logProbs) as number[][],
          oldLogProbs: part(matrices.oldLogProbs) as number[][],
          ...(negLogProbs && { negLogProbs }),
          ...(refLogProbs && loss.klRef.coefficient > 0 && { refLogProbs }),
          advantages: advantages.slice(from, to),
          mask: padded(matrices.logProbs.slice(from, to).map((row) => row.map(() => 1))),
          correct: rewards.slice(from, to).map(({ accuracy }) => accuracy),
        },
        {
          variant: config.variant,
          ...loss,
          responsesPerMicroBatch: config.batch.responsesPerMicroBatch,
          maxNewTokens: config.rollout.maxNewTokens,
          annealing: recorded.annealing ?? 1,
        },
      );
      return metrics;
    }),
  );
  const meanOf = (name: keyof (typeof results)[number]): number =>
    results.reduce((sum, metrics) => sum + metrics[name], 0) / results.length;
  const names = [
    'policy',
    'klInter',
    'klRef',
    'entropy',
    'entropyNegative',
    'clippedLow',
    'clippedHigh',
    'clippedDual',
    'ppoKl',
  ] as const;
  const groups = [...new Set(rows.map(({ group }) => group))];
  const kept = groups.filter((group) =>
    keepGroup(
      rewards.flatMap(({ accuracy }, i) => (rows[i]?.group === group ? [accuracy] : [])),
      config.filter,
    ),
  );
  const meanReward = (of: readonly { overall: number }[]): number =>
    of.reduce((sum, { overall }) => sum + overall, 0) / of.length;
  return {
    responses: rows.length,
    terms: [
      { name: 'loss', recorded: recorded.loss, replayed: meanOf('loss') },
      ...names.map((name) => ({ name, recorded: recorded[`loss/${name}`], replayed: meanOf(name) })),
      { name: 'reward', recorded: meanReward(rows.map((row) => row.reward)), replayed: meanReward(rewards) },
      { name: 'groups', recorded: groups.length, replayed: filters ? kept.length : groups.length },
    ],
    advantages: rows.map(({ group, label, response, advantage }, i) => ({
      group,
      label,
      response,
      recorded: advantage,
      replayed: advantages[i] as number,
    })),
  };
}

function rowsOf(run: string, step: number): Row[] {
  const rows = linesOf<Row>(join(run, 'generations.jsonl')).filter((row) => row.step === step && row.trained);
  if (rows.length > 0) return rows;
  throw new ConfigError(
    `${run} has no trained responses of step ${step}; give one of the steps of its metrics.jsonl.`,
  );
}

const metricsOf = (run: string, step: number): Record<string, number> =>
  linesOf<Record<string, number>>(join(run, 'metrics.jsonl')).find((row) => row.step === step) ?? {};

function linesOf<T>(file: string): T[] {
  if (!existsSync(file))
    throw new ConfigError(`There is no file ${file}: is that the folder of a run of finer1 tapo?`);
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

type Matrices = Record<'logProbs' | 'oldLogProbs', number[][]> &
  Partial<Record<'negLogProbs' | 'refLogProbs', number[][]>>;

function matricesOf({ lengths, ...parts }: TokenRecord): Matrices {
  const split = (values: Float32Array): number[][] => {
    let from = 0;
    return [...lengths].map((length) => [...values.subarray(from, (from += length))]);
  };
  return Object.fromEntries(Object.entries(parts).map(([name, values]) => [name, split(values)])) as Matrices;
}

function padded(rows: readonly (readonly number[])[]): number[][] {
  const width = Math.max(...rows.map(({ length }) => length));
  return rows.map((row) => Array.from({ length: width }, (_, i) => row[i] ?? 0));
}
