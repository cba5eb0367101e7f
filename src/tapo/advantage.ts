const EPSILON = 1e-6;

/** How advantages are made of rewards. */
export interface AdvantageOptions {
  /** divide by the group's standard deviation; Dr. GRPO does not. Default: true */
  byStd?: boolean;
}

/**
 * The advantage of each response: its reward less its group's mean, over the group's unbiased standard deviation + 1e-6
 * (GRPO and DAPO; released `compute_dapo_outcome_advantage`). It is the same for each token of the response.
 *
 * @param rewards one a response
 * @param groups the group of each response: those on the anchor and on the positive of a triplet share one
 *   (intra-class augmentation)
 * @throws RangeError if there are not as many groups as rewards, or a group has one response only
 */
export function groupAdvantages(
  rewards: readonly number[],
  groups: readonly (string | number)[],
  { byStd = true }: AdvantageOptions = {},
): number[] {
  if (rewards.length !== groups.length) {
    throw new RangeError(
      `groupAdvantages: ${rewards.length} rewards and ${groups.length} groups; give one of each for a response.`,
    );
  }
  const members = new Map<string | number, number[]>();
  groups.forEach((group, i) => {
    members.set(group, [...(members.get(group) ?? []), rewards[i] as number]);
  });
  const statistics = new Map([...members].map(([group, values]) => [group, statisticsOf(values)]));
  return rewards.map((value, i) => {
    const { mean, std } = statistics.get(groups[i] as string | number) as Statistics;
    return byStd ? (value - mean) / (std + EPSILON) : value - mean;
  });
}

interface Statistics {
  mean: number;
  std: number;
}

function statisticsOf(values: readonly number[]): Statistics {
  if (values.length === 1) {
    throw new RangeError('groupAdvantages: a group has one response only; its deviation needs two at least.');
  }
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, std: Math.sqrt(squares / (values.length - 1)) };
}
