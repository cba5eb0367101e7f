/** What the check found, at one or more places. */
export interface Problem {
  /** error: a training on this data would be wrong, or would stop */
  severity: 'error' | 'warning';
  /** for machines, such as `missing-image` */
  code: string;
  count: number;
  /** files, rows or pictures, each with what is particular to it */
  where: string[];
  message: string;
}

/** Gathers what is found, one problem for each code. */
export interface Problems {
  add(code: ProblemCode, where: string): void;
  /** errors first */
  list(): Problem[];
}

const KINDS = {
  'bad-row': ['error', 'rows that cannot be read'],
  'missing-image': ['error', 'pictures that are not there'],
  'broken-image': ['error', 'pictures that cannot be decoded'],
  'nothing-fits': ['error', 'files of which no row fits: there is nothing to train on'],
  'unseen-trained': ['error', 'training pictures of sub-categories that unseen.txt lists'],
  'no-rows': ['error', 'files or folders without rows'],
  'too-long': ['warning', 'rows over the limit of tokens: a training leaves them out'],
  'duplicate-across-splits': ['warning', 'pictures for training that look the same as one for tests'],
  'unseen-in-text': ['warning', 'rows for training that name unseen sub-categories: tests on these say less'],
  'truth-in-option': [
    'warning',
    'test rows where another option contains the right one: naming that counts as right too',
  ],
  'label-in-label': ['warning', 'sub-categories whose name contains the name of another one'],
  'repeated-option': ['warning', 'test rows with an option twice'],
  'same-picture': ['warning', 'triplets whose positive or negative is the anchor itself'],
  'unlike-sizes': ['warning', 'triplets whose pictures have different numbers of tokens'],
  'no-answer': ['warning', 'conversations without <answer>...</answer>: their sub-category is not known'],
  'left-out': ['warning', 'files or parts that are not used'],
} as const satisfies Record<string, readonly [Problem['severity'], string]>;

export type ProblemCode = keyof typeof KINDS;

/** Starts without problems. */
export function createProblems(): Problems {
  const found = new Map<ProblemCode, string[]>();
  return {
    add: (code, where) => {
      const places = found.get(code);
      if (places === undefined) found.set(code, [where]);
      else places.push(where);
    },
    list: () =>
      (Object.keys(KINDS) as ProblemCode[]).flatMap((code) => {
        const where = found.get(code);
        const [severity, message] = KINDS[code];
        return where === undefined ? [] : [{ severity, code, count: where.length, where, message }];
      }),
  };
}
