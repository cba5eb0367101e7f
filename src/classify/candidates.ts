import { existsSync, readFileSync } from 'node:fs';
import { ConfigError, messageOf } from '../common/errors.ts';
import { isSameName } from '../data/text/answer.ts';

/**
 * Candidates from the command line.
 * @param given `a,b,c`, or a file with one a line
 * @throws ConfigError if there is no such file, or the candidates cannot be used
 */
export function readCandidates(given: string): string[] {
  const isFile = existsSync(given);
  if (!isFile && !given.includes(',')) {
    throw new ConfigError(
      `--candidates ${given}: there is no such file, and a single name leaves nothing to choose. Give a file with one ` +
        'candidate a line, or a,b,c.',
    );
  }
  const names = isFile ? linesOf(given) : given.split(',');
  const candidates = names.map((name) => name.trim());
  assertCandidates(candidates, isFile ? given : '--candidates');
  return candidates;
}

/* What the answer's form is made of, and special tokens. */
const MARKS = /<\/?(?:think|answer)>|<\|/;

/**
 * @param where they are from, for messages
 * @throws ConfigError if there are fewer than two, one is empty, has a mark of the answer's form in it, or stands there
 *   twice
 */
export function assertCandidates(candidates: readonly string[], where: string): void {
  const place = (i: number): string => `${where}: candidate ${i + 1}`;
  const empty = candidates.findIndex((name) => name.trim() === '');
  if (empty !== -1) throw new ConfigError(`${place(empty)} is empty. Take it out, or give it a name.`);
  if (candidates.length < 2) {
    throw new ConfigError(
      `${where} has ${candidates.length} candidate${candidates.length === 1 ? '' : 's'}; at least 2 were expected. Give ` +
        'more, or ask for any name (--open).',
    );
  }
  for (const [i, name] of candidates.entries()) {
    const mark = MARKS.exec(name)?.[0];
    if (mark !== undefined) {
      throw new ConfigError(`${place(i)}, ${name}, holds ${mark}, which is part of the form. Take it out.`);
    }
    const first = candidates.findIndex((other) => isSameName(other.normalize(), name.normalize()));
    if (first < i) {
      throw new ConfigError(
        `${place(i)}, ${name}, is the same as candidate ${first + 1}, ${candidates[first]} (case and underscores do not ` +
          'count). Take one out.',
      );
    }
  }
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .replace(/^\uFEFF/, '')
      .replace(/\s+$/, '')
      .split(/\r?\n/);
  } catch (error) {
    throw new ConfigError(
      `${file} cannot be read: ${messageOf(error)}. Give a file with one candidate a line.`,
    );
  }
}
