import { namedClasses } from '../data/text/naming.ts';

/** Whether the options are in the question (closed world) or the name has to come from the model (open world). */
export type World = 'closed' | 'open';

/** What a response is judged against. */
export interface Truth {
  /** the name that is right */
  label: string;
  /** all names that an answer could give; the label need not be among them */
  classes: readonly string[];
  world: World;
  /** the picture's path as the file of data gives it, by which the released open-world rule knows a car */
  imagePath: string;
}

/** A judged response. */
export interface Verdict {
  /** what stands between the first `<answer>` and the last `</answer>`; undefined where that is nothing */
  answer: string | undefined;
  /** the known classes that the answer names */
  named: string[];
  /** right by the released rule: the label occurs in the text */
  released: boolean;
  /** exactly one known class is named, and it is the label */
  strict: boolean;
}

const ANSWER = /<answer>(.*)<\/answer>/su;

/** The answer as the released evaluation (`eval/evaluation.py`) reads it; one that is empty is none. */
export function releasedAnswer(response: string): string | undefined {
  const answer = ANSWER.exec(response)?.[1]?.trim();
  return answer === '' ? undefined : answer;
}

/** Judges a response by the released rule of its world, and strictly. */
export function judge(response: string, truth: Truth): Verdict {
  const answer = releasedAnswer(response);
  // The label comes last: of names that are the same but for case, the label is the one that is told.
  const named = answer === undefined ? [] : namedClasses(answer, [...truth.classes, truth.label]);
  return {
    answer,
    named,
    released:
      truth.world === 'closed'
        ? isRightInClosedWorld(answer, truth.label)
        : isRightInOpenWorld(answer ?? response, truth),
    strict: named.length === 1 && named[0] === truth.label,
  };
}

const plain = (text: string): string => text.toLowerCase().replaceAll('_', ' ');

const isRightInClosedWorld = (answer: string | undefined, label: string): boolean =>
  answer !== undefined && plain(answer).includes(plain(label));

/*
 * The released "text inclusion". A car's label goes without its last two words, mostly body and year: of one with two
 * words nothing is left, which occurs in any text. Underscores of the text stay, unlike in the closed world.
 */
function isRightInOpenWorld(text: string, { label, imagePath }: Truth): boolean {
  const sought =
    coarseName(imagePath) === 'car'
      ? label.toLowerCase().split(/\s+/).filter(Boolean).slice(0, -2).join(' ')
      : plain(label);
  return text.toLowerCase().includes(sought);
}

/* By a part of the path, in this order. */
const COARSE_NAMES = [
  ['aircraft', 'aircraft'],
  ['birds', 'bird'],
  ['cars', 'car'],
  ['flower', 'flower'],
] as const;

/**
 * What the released open-world evaluation takes a picture to show, from its path. The released files of birds have
 * `bird_200/`, which is no `birds`: they are an `object`, as dogs and pets are.
 *
 * @param imagePath as the file of data gives it
 */
export const coarseName = (imagePath: string): string =>
  COARSE_NAMES.find(([part]) => imagePath.includes(part))?.[1] ?? 'object';
