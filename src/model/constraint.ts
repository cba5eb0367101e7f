import { ConfigError } from '../common/errors.ts';

/** Which tokens may follow, as a response grows. */
export interface Constraint {
  start(): ConstraintState;
  /** The state after one more token. */
  next(state: ConstraintState, token: number): ConstraintState;
  /** The tokens that may come next; undefined: any. */
  allowed(state: ConstraintState): readonly number[] | undefined;
}

/** Where a response stands: before the prefix (how much of it matches), within the trie, or behind it. */
export type ConstraintState = { matched: number } | { node: TrieNode } | 'free';

interface TrieNode {
  children: Map<number, TrieNode>;
  /** a continuation ends here */
  isEnd: boolean;
}

export interface ConstraintOptions {
  /** tokens after which the constraint holds; none: from the beginning */
  prefix: readonly number[];
  /** what may follow the prefix */
  continuations: readonly (readonly number[])[];
  /** tokens that may follow a continuation which is the beginning of another one: those that end a response */
  ends: readonly number[];
}

/**
 * Constrained decoding: once a response ends with `prefix`, it has to go on with one of the continuations; after that
 * it is free again.
 *
 * Where one continuation is the beginning of another ("petunia", "petunia hybrid"), the shorter one is over when an end
 * token follows. Let continuations end with what stands behind them (`</answer>`) and none begins another.
 *
 * @throws ConfigError without continuations, if one is empty, or if one is the beginning of another and no end token
 *   tells them apart
 */
export function createConstraint({ prefix, continuations, ends }: ConstraintOptions): Constraint {
  const root = buildTrie(continuations);
  assertEnds(root, continuations, ends);
  const fallbacks = fallbacksOf(prefix);
  const before = (matched: number): ConstraintState =>
    matched === prefix.length ? { node: root } : { matched };

  const nextMatch = (matched: number, token: number): number => {
    let length = matched;
    while (length > 0 && prefix[length] !== token) length = fallbacks[length - 1] as number;
    return prefix[length] === token ? length + 1 : 0;
  };
  return {
    start: () => before(0),
    next: (state, token) => {
      if (state === 'free') return state;
      if ('matched' in state) return before(nextMatch(state.matched, token));
      const child = state.node.children.get(token);
      // No child: an end token after a whole continuation.
      return child === undefined || child.children.size === 0 ? 'free' : { node: child };
    },
    allowed: (state) => {
      if (state === 'free' || 'matched' in state) return undefined;
      const children = [...state.node.children.keys()];
      return state.node.isEnd ? [...children, ...ends] : children;
    },
  };
}

function buildTrie(continuations: readonly (readonly number[])[]): TrieNode {
  if (continuations.length === 0) {
    throw new ConfigError('A constraint has no continuations; give at least one sequence of tokens.');
  }
  const root: TrieNode = { children: new Map(), isEnd: false };
  for (const [i, tokens] of continuations.entries()) {
    if (tokens.length === 0) {
      throw new ConfigError(`Continuation ${i} of a constraint is empty; give the tokens that are allowed.`);
    }
    let node = root;
    for (const token of tokens) {
      const child = node.children.get(token) ?? { children: new Map<number, TrieNode>(), isEnd: false };
      node.children.set(token, child);
      node = child;
    }
    node.isEnd = true;
  }
  return root;
}

/* Where a continuation ends and another goes on, a token that can only end it has to be there. */
function assertEnds(
  root: TrieNode,
  continuations: ConstraintOptions['continuations'],
  ends: readonly number[],
): void {
  for (const [i, tokens] of continuations.entries()) {
    let node = root;
    for (const token of tokens) node = node.children.get(token) as TrieNode;
    const { children } = node;
    if (children.size === 0 || ends.some((end) => !children.has(end))) continue;
    const longer = continuations.findIndex(
      (other) => other.length > tokens.length && tokens.every((token, at) => other[at] === token),
    );
    throw new ConfigError(
      `Continuation ${i} of a constraint, [${tokens.join(', ')}], is the beginning of continuation ${longer}, ` +
        `[${continuations[longer]?.join(', ')}], and no stop token tells that it is over. Give stop tokens, or let both ` +
        'end with what stands behind them.',
    );
  }
}

/* For each length of the prefix, the longest proper beginning of it that it also ends with (Knuth, Morris, Pratt). */
function fallbacksOf(prefix: readonly number[]): number[] {
  const fallbacks = prefix.map(() => 0);
  for (let i = 1, length = 0; i < prefix.length; i++) {
    while (length > 0 && prefix[i] !== prefix[length]) length = fallbacks[length - 1] as number;
    if (prefix[i] === prefix[length]) length++;
    fallbacks[i] = length;
  }
  return fallbacks;
}
