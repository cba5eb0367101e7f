import { createRandom, shuffled } from '../common/random.ts';
import type { OptionOrder } from '../config/eval.ts';

/**
 * The options of a question in the order or orders to ask it with.
 *
 * @param place of the question, which the shuffling depends on besides the seed: its file's name and row
 * @returns one order, or one for each option
 */
export function arrangeOptions(
  options: readonly string[],
  order: OptionOrder,
  seed: number,
  place: { file: string; row: number },
): string[][] {
  switch (order) {
    case 'stored':
      return [[...options]];
    case 'shuffled':
    case 'classify':
      return [shuffled(createRandom(seed, `options of ${place.file}`, place.row), options)];
    case 'rotations':
      return options.map((_, i) => [...options.slice(i), ...options.slice(0, i)]);
  }
}

/** What was asked and answered, as far as position goes. */
export interface PositionedAnswer {
  /** in the order in which they were asked */
  options: readonly string[];
  label: string;
  /** the known classes that the answer names */
  named: readonly string[];
  strict: boolean;
}

/** How answers go with one place among the options. */
export interface PositionShare {
  /** from 1 */
  position: number;
  /** questions whose truth is there */
  truths: number;
  /** share of these that are strictly right; undefined where there are none */
  accuracy: number | undefined;
  /** share of the answers naming exactly one option that name the one which is there */
  answered: number;
}

/** What position does to answers: one that goes by the picture alone answers each as often as the truth is there. */
export function positionBias(answers: readonly PositionedAnswer[]): PositionShare[] {
  const places = Math.max(0, ...answers.map(({ options }) => options.length));
  const chosen = answers.map(({ options, named }) =>
    named.length === 1 ? options.indexOf(named[0] as string) : -1,
  );
  const choices = chosen.filter((place) => place !== -1).length;
  return Array.from({ length: places }, (_, place) => {
    const here = answers.filter(({ options, label }) => options.indexOf(label) === place);
    const right = here.filter(({ strict }) => strict).length;
    return {
      position: place + 1,
      truths: here.length,
      accuracy: here.length === 0 ? undefined : right / here.length,
      answered: choices === 0 ? 0 : chosen.filter((one) => one === place).length / choices,
    };
  });
}
