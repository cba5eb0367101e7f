import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { ConfigError } from '../common/errors.ts';

/** A folder that a training or a test has written. */
export interface Part {
  kind: 'training' | 'test';
  /** what it is called in the report */
  name: string;
  folder: string;
}

/* The first one is written to up to the end. */
const FILES = {
  training: ['metrics.jsonl', 'run.json', 'config.yaml'],
  test: ['answers.jsonl', 'settings.json'],
} as const;
/* Folders in a folder are looked into so far: those of the quickstart are runs/quickstart/tests/sft. */
const MAX_DEPTH = 2;

/**
 * Finds what there is to report: folders of trainings and tests, or folders that hold several of them.
 *
 * @returns those of the first run first, and of a run those first that ended first; names are short, and tell them apart
 * @throws ConfigError if a folder is missing, or holds nothing of that
 */
export function findParts(runs: readonly string[]): Part[] {
  const found = runs.flatMap((run) => {
    if (statSync(run, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new ConfigError(
        `There is no folder ${run}. Give the folder of a run of finer1 sft, tapo or eval.`,
      );
    }
    const parts = partsIn(resolve(run), MAX_DEPTH);
    if (parts.length === 0) throw noRun(run);
    parts.sort((a, b) => endedAt(a) - endedAt(b));
    return parts.map((part) => ({ ...part, run: resolve(run) }));
  });
  const unique = [...new Map(found.map((part) => [part.folder, part])).values()];
  return unique.map((part) => ({ kind: part.kind, folder: part.folder, name: nameOf(part, unique) }));
}

type Found = Pick<Part, 'kind' | 'folder'>;

function partsIn(folder: string, depth: number): Found[] {
  const has = (kind: Part['kind']): boolean => FILES[kind].some((name) => existsSync(join(folder, name)));
  if (has('test')) return [{ kind: 'test', folder }];
  const own: Found[] = has('training') ? [{ kind: 'training', folder }] : [];
  const inner = depth === 0 ? [] : readdirSync(folder, { withFileTypes: true });
  return [
    ...own,
    ...inner
      .filter((entry) => entry.isDirectory() && entry.name !== 'checkpoints')
      .flatMap(({ name }) => partsIn(join(folder, name), depth - 1)),
  ];
}

/* Of the first of its files that is there. */
function endedAt({ folder, kind }: Found): number {
  const file = FILES[kind].map((name) => join(folder, name)).find((path) => existsSync(path));
  return file === undefined ? 0 : statSync(file).mtimeMs;
}

/* The folder's name, or as much of its path as tells it from others of its kind. */
function nameOf(part: Found & { run: string }, all: readonly (Found & { run: string })[]): string {
  const others = all.filter(({ kind, folder }) => kind === part.kind && folder !== part.folder);
  const names = [
    ({ folder }: Found): string => basename(folder),
    ({ folder, run }: typeof part): string => join(basename(run), relative(run, folder)),
  ];
  const telling = names.find((name) => others.every((other) => name(other) !== name(part)));
  return telling?.(part) ?? part.folder;
}

const noRun = (run: string): ConfigError =>
  new ConfigError(
    `${run} holds no run: there is no ${[...FILES.training, ...FILES.test].join(', ')} in it, nor in its folders. Give a ` +
      'folder that finer1 sft, tapo or eval has written to, or one that holds some of them.',
  );
