import { namedClasses } from '../data/text/naming.ts';
import type { Group, Response } from './groups.ts';
import { answerOf } from './reward.ts';
import type { Sampled } from './sampling.ts';

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, x) => sum + x, 0) / values.length;
const shareOf = <T>(items: readonly T[], holds: (item: T) => boolean): number =>
  mean(items.map((item) => Number(holds(item))));

/**
 * What there is to say of a step's rollouts, of all groups that were drawn: rewards (also on anchor and positive apart),
 * lengths, truncated responses, answers by how many known classes they name, groups.
 *
 * @param classes all names that an answer could give
 */
export function rolloutFigures(
  { all, accepted, tries, groups }: Sampled,
  classes: readonly string[],
): Record<string, number> {
  const responses = all.flatMap((group) => group.responses);
  const finished = responses.filter(({ truncated }) => !truncated);
  const named = responses.map(({ text }) => namedClasses(answerOf(text) ?? '', classes).length);
  return {
    ...rewardFigures('reward', responses),
    ...rewardFigures(
      'reward/anchor',
      responses.filter(({ picture }) => picture === 'anchor'),
    ),
    ...rewardFigures(
      'reward/positive',
      responses.filter(({ picture }) => picture === 'positive'),
    ),
    'length/mean': mean(responses.map(({ tokens }) => tokens.length)),
    'length/finished': mean(finished.map(({ tokens }) => tokens.length)),
    'length/max': Math.max(...responses.map(({ tokens }) => tokens.length)),
    truncated: shareOf(responses, ({ truncated }) => truncated),
    'named/none': shareOf(named, (count) => count === 0),
    'named/one': shareOf(named, (count) => count === 1),
    'named/more': shareOf(named, (count) => count > 1),
    'groups/acceptance': accepted / all.length,
    'groups/zeroVariance': shareOf(all, hasOneReward),
    'groups/alwaysRight': shareOf(all, (group) =>
      group.responses.every(({ reward }) => reward.accuracy === 1),
    ),
    'groups/alwaysWrong': shareOf(all, (group) =>
      group.responses.every(({ reward }) => reward.accuracy === 0),
    ),
    'groups/drawn': all.length,
    'groups/unused': Math.max(0, accepted - groups.length),
    tries,
  };
}

function rewardFigures(prefix: string, responses: readonly Response[]): Record<string, number> {
  if (responses.length === 0) return {};
  const parts = ['overall', 'format', 'accuracy', 'strict'] as const;
  return Object.fromEntries(
    parts.map((part) => [`${prefix}/${part}`, mean(responses.map(({ reward }) => reward[part]))]),
  );
}

function hasOneReward({ responses }: Group): boolean {
  return responses.every(({ reward }) => reward.overall === responses[0]?.reward.overall);
}
