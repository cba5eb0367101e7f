import type { TapoConfig } from './tapo.ts';

type Limits = TapoConfig['alarms'];

/** A limit of a run's alarms: a figure of `metrics.jsonl` that may not be below or above it. */
export interface Watched {
  limit: Exclude<keyof Limits, 'afterSteps'>;
  figure: string;
  side: 'min' | 'max';
  /** the limit is a share of the figure's first value */
  isOfFirst?: boolean;
  /** the figure in words */
  say(value: string): string;
  show(value: number): string;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const nats = { figure: 'loss/entropy', say: (value: string) => `the mean entropy is ${value}` };

/** All that alarms watch over. */
export const WATCHED: readonly Watched[] = [
  {
    limit: 'minFormat',
    figure: 'reward/format',
    side: 'min',
    say: (value) => `${value} of the responses are in the right form`,
    show: percent,
  },
  {
    limit: 'maxTruncated',
    figure: 'truncated',
    side: 'max',
    say: (value) => `${value} of the responses are cut at rollout.maxNewTokens`,
    show: percent,
  },
  {
    limit: 'minLength',
    figure: 'length/mean',
    side: 'min',
    isOfFirst: true,
    say: (value) => `responses have ${value} of their first length`,
    show: percent,
  },
  { limit: 'minEntropy', side: 'min', ...nats, show: (value) => value.toFixed(4) },
  { limit: 'maxEntropy', side: 'max', ...nats, show: (value) => value.toFixed(4) },
];

/**
 * Whether a step is beyond a limit.
 * @param value of the figure in the step
 * @param first its value in the run's first step
 */
export function isBeyond(watched: Watched, value: number, first: number, limits: Limits): boolean {
  const watchedValue = valueOf(watched, value, first);
  return watched.side === 'min' ? watchedValue < limits[watched.limit] : watchedValue > limits[watched.limit];
}

/** A figure beside its limit, in words. */
export const compareWithLimit = (watched: Watched, value: number, first: number, limits: Limits): string =>
  `${watched.say(watched.show(valueOf(watched, value, first)))} ` +
  `(alarms.${watched.limit}: ${watched.show(limits[watched.limit])})`;

const valueOf = ({ isOfFirst }: Watched, value: number, first: number): number =>
  isOfFirst === true ? value / first : value;
