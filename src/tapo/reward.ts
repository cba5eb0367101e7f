import { namedClasses } from '../data/text/naming.ts';

/** What a response earns. Each part is 0 or 1. */
export interface Reward {
  /** what the advantage is made of */
  overall: number;
  /** the whole response is `<think>...</think>`, white space, `<answer>...</answer>` */
  format: number;
  /** as released: the label occurs in the answer */
  accuracy: number;
  /** exactly one known class is named in the answer, and it is the label */
  strict: number;
}

/** How a response is rewarded. */
export interface RewardOptions {
  /** which accuracy counts in `overall`; default: released */
  kind?: 'released' | 'strict';
  /** share of the format in `overall`, the rest is accuracy's; default 0.1 */
  formatWeight?: number;
  /** all names that an answer could give, for the strict accuracy; default: the label alone */
  classes?: readonly string[];
}

/* What Python's `\s` matches; JavaScript's has U+FEFF, and lacks U+001C to U+001F and U+0085. */
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const AROUND_MARKS = new RegExp(`${SPACE}*(<|>|/)${SPACE}*`, 'gu');
const FORM = new RegExp(`^<think>.*?</think>${SPACE}*<answer>.*?</answer>$`, 'su');
const ANSWER = new RegExp(`<answer>${SPACE}*(.*?)${SPACE}*</answer>`, 'su');

/**
 * Rewards a response by rule: 0.9 for the right name, 0.1 for the form (paper, section 3.2; released
 * `examples/reward_function/cls_thinking.py`). White space around `<`, `>` and `/` does not count, in the response only:
 * a label with ` / ` in it is never found in the released form.
 */
export function reward(
  response: string,
  label: string,
  { kind = 'released', formatWeight = 0.1, classes = [label] }: RewardOptions = {},
): Reward {
  const text = response.replaceAll(AROUND_MARKS, '$1');
  const format = Number(FORM.test(text));
  const answer = ANSWER.exec(text)?.[1];
  const accuracy = Number(answer !== undefined && answer.toLowerCase().includes(label.toLowerCase()));
  const strict = Number(answer !== undefined && isOnly(namedClasses(answer, [...classes, label]), label));
  const right = kind === 'strict' ? strict : accuracy;
  return { overall: (1 - formatWeight) * right + formatWeight * format, format, accuracy, strict };
}

/** The answer that a response gives, as rewards read it; undefined without one. */
export const answerOf = (response: string): string | undefined =>
  ANSWER.exec(response.replaceAll(AROUND_MARKS, '$1'))?.[1];

const isOnly = (named: readonly string[], label: string): boolean =>
  named.length === 1 && named[0]?.toLowerCase() === label.toLowerCase();
