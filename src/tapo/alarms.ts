import type { TapoConfig } from '../config/tapo.ts';
import { compareWithLimit, isBeyond, WATCHED, type Watched } from '../config/tapoAlarms.ts';
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
  state.firstLength ??= figures['length/mean'] as number;
  const first = state.firstLength;
  const value = ({ figure }: Watched): number => figures[figure] as number;
  for (const one of WATCHED) {
    const isOver = isBeyond(one, value(one), first, limits);
    state.warnings[one.limit] = isOver ? (state.warnings[one.limit] ?? 0) + 1 : 0;
  }
  const sounding = WATCHED.filter(({ limit }) => (state.warnings[limit] ?? 0) >= limits.afterSteps);
  if (sounding.length === 0) return undefined;
  const what = sounding.map((one) => compareWithLimit(one, value(one), first, limits)).join('; ');
  return (
    `The run was stopped: for ${limits.afterSteps} steps, ${what}. Lower optimiser.learningRate or ` +
    'loss.klInter.coefficient, or go on from an earlier checkpoint.'
  );
}
