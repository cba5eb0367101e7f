import type { TapoConfig } from '../config/tapo.ts';
import type { TrainingState } from '../train/checkpoint.ts';

type Limits = TapoConfig['alarms'];
type TapoState = NonNullable<TrainingState['tapo']>;

/**
 * Counts the steps in a row in which a run is beyond a limit, in its state.
 * @param figures of the step
 * @returns what to say where it has been for too long; undefined otherwise
 */
export function soundAlarms(
  figures: Readonly<Record<string, number>>,
  state: TapoState,
  limits: Limits,
): string | undefined {
  const value = (name: string): number => figures[name] as number;
  state.firstLength ??= value('length/mean');
  const length = value('length/mean') / state.firstLength;
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const checks: [name: keyof Limits, isBeyond: boolean, what: string][] = [
    [
      'minFormat',
      value('reward/format') < limits.minFormat,
      `${percent(value('reward/format'))} of the responses are in the right form (alarms.minFormat: ${percent(limits.minFormat)})`,
    ],
    [
      'maxTruncated',
      value('truncated') > limits.maxTruncated,
      `${percent(value('truncated'))} of the responses are cut at rollout.maxNewTokens (alarms.maxTruncated: ${percent(limits.maxTruncated)})`,
    ],
    [
      'minLength',
      length < limits.minLength,
      `responses have ${percent(length)} of their first length (alarms.minLength: ${percent(limits.minLength)})`,
    ],
    [
      'minEntropy',
      value('loss/entropy') < limits.minEntropy,
      `the mean entropy is ${value('loss/entropy').toFixed(4)} (alarms.minEntropy: ${limits.minEntropy})`,
    ],
    [
      'maxEntropy',
      value('loss/entropy') > limits.maxEntropy,
      `the mean entropy is ${value('loss/entropy').toFixed(4)} (alarms.maxEntropy: ${limits.maxEntropy})`,
    ],
  ];
  for (const [name, isBeyond] of checks)
    state.warnings[name] = isBeyond ? (state.warnings[name] ?? 0) + 1 : 0;
  const sounding = checks.filter(([name]) => (state.warnings[name] ?? 0) >= limits.afterSteps);
  if (sounding.length === 0) return undefined;
  return (
    `The run was stopped: for ${limits.afterSteps} steps, ${sounding.map(([, , what]) => what).join('; ')}. Lower ` +
    'optimiser.learningRate or loss.klInter.coefficient, or go on from an earlier checkpoint.'
  );
}
