import { ConfigError } from '../common/errors.ts';
import { createRandom, shuffled } from '../common/random.ts';
import type { TapoConfig } from '../config/tapo.ts';
import type { ImagePool } from '../data/image/pool.ts';
import type { TripletPrompts } from '../data/triplets.ts';
import { keepGroup } from './filter.ts';
import { type Group, type LoadedTriplet, loadTriplet } from './groups.ts';
import type { Reward } from './reward.ts';
import type { Drawn } from './rollout.ts';

/** What dynamic sampling does with the groups that it draws. */
export interface Sampling {
  config: Pick<TapoConfig, 'seed' | 'filter' | 'batch' | 'rollout'>;
  /** whether groups are filtered at all, and whether all are kept where none of those drawn at once would be */
  filters: boolean;
  keepAllWhenNone: boolean;
  rows: readonly TripletPrompts[];
  pool: ImagePool;
  rollOut(triplets: readonly LoadedTriplet[], drawn: number): Promise<Drawn[][]>;
  reward(text: string, triplet: TripletPrompts): Promise<Reward> | Reward;
}

/** The groups of a step. */
export interface Sampled {
  /** those that are trained on, promptsPerStep of them unless the tries ran out */
  groups: Group[];
  /** all that were drawn, in order */
  all: Group[];
  tries: number;
  /** prompts that were drawn in the run up to now */
  drawn: number;
  /** groups that the filter kept, of all */
  accepted: number;
}

/**
 * Draws groups until a rollout batch is full (DAPO's dynamic sampling; released `_make_batch_data`). Kept groups of one
 * draw wait for those of the next; what is over in the end is not trained on.
 *
 * @param drawn prompts that were drawn before in the run: the order of prompts goes on from there
 * @throws ConfigError if the batch is not full after so many tries, and the config says to stop then; or no group is left
 */
export async function sampleGroups(sampling: Sampling, drawn: number): Promise<Sampled> {
  const { config, rows, pool, filters, keepAllWhenNone } = sampling;
  const { promptsPerStep } = config.batch;
  const { maxTries, whenExhausted, low, high } = config.filter;
  const sampled: Sampled = { groups: [], all: [], tries: 0, drawn, accepted: 0 };
  while (sampled.groups.length < promptsPerStep && sampled.tries < maxTries) {
    const missing = promptsPerStep - sampled.groups.length;
    // Without a filter, more than are missing would be drawn for nothing.
    const count = filters ? config.rollout.promptsAtOnce : Math.min(config.rollout.promptsAtOnce, missing);
    const numbers = Array.from({ length: count }, (_, i) =>
      rowAt(sampled.drawn + i, rows.length, config.seed),
    );
    const triplets = await Promise.all(
      numbers.map((number) => loadTriplet(number, rows[number] as TripletPrompts, pool)),
    );
    const responses = await sampling.rollOut(triplets, sampled.drawn);
    const groups = await Promise.all(
      triplets.map(async (loaded, i): Promise<Group> => ({
        ...loaded,
        responses: await Promise.all(
          (responses[i] as Drawn[]).map(async (one) => ({
            ...one,
            reward: await sampling.reward(one.text, loaded.triplet),
          })),
        ),
      })),
    );
    sampled.tries++;
    sampled.drawn += count;
    sampled.all.push(...groups);
    const passing = filters
      ? groups.filter(({ responses: own }) =>
          keepGroup(
            own.map(({ reward }) => reward.accuracy),
            { low, high },
          ),
        )
      : groups;
    const kept = passing.length === 0 && keepAllWhenNone ? groups : passing;
    sampled.accepted += passing.length;
    sampled.groups.push(...kept);
  }
  const found = sampled.groups.length;
  if (found < promptsPerStep && (whenExhausted === 'stop' || found === 0))
    throw exhausted(sampled, promptsPerStep);
  sampled.groups.length = Math.min(found, promptsPerStep);
  return sampled;
}

/* The row that is drawn k-th: each once in a pass, in another order in each. */
function rowAt(k: number, rows: number, seed: number): number {
  const pass = Math.floor(k / rows);
  return orderOf(pass, rows, seed)[k % rows] as number;
}

let lastOrder: { key: string; order: number[] } | undefined;

/* The last one is kept: prompts are drawn one after another. */
function orderOf(pass: number, rows: number, seed: number): number[] {
  const key = [pass, rows, seed].join();
  if (lastOrder?.key !== key) {
    const numbers = Array.from({ length: rows }, (_, i) => i);
    lastOrder = { key, order: shuffled(createRandom(seed, 'order of prompts', pass), numbers) };
  }
  return lastOrder.order;
}

function exhausted({ groups, all, tries }: Sampled, promptsPerStep: number): ConfigError {
  const right = all.filter(({ responses }) => responses.every(({ reward }) => reward.accuracy === 1)).length;
  const wrong = all.filter(({ responses }) => responses.every(({ reward }) => reward.accuracy === 0)).length;
  return new ConfigError(
    `Dynamic sampling drew ${all.length} prompts in ${tries} tries and kept ${groups.length} groups; batch.promptsPerStep is ` +
      `${promptsPerStep}. ${right} were always right, ${wrong} always wrong. ` +
      (right > wrong
        ? 'There is little left to learn from these triplets: stop here, or add harder ones'
        : 'The model hardly ever finds the right name: fine-tune it longer first') +
      ', or set filter.whenExhausted: train, filter.maxTries higher, or batch.promptsPerStep lower.',
  );
}
