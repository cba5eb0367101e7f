import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { CheckpointError } from '../common/errors.ts';
import { readJson } from '../common/json.ts';
import { readRange } from '../common/files.ts';
import { log } from '../common/log.ts';
import { startProgress } from '../common/progress.ts';
import type { ModelConfig } from '../config/model.ts';
import type { Variable } from '../runtime/variable.ts';
import { EMBEDDING, expectedTensors, HEAD, toReleasedName } from './names.ts';
import { loadTensor, type LocatedTensor, type ParameterDType } from './parameters.ts';
import {
  byteLength,
  orCannotWrite,
  readSafetensorsHeader,
  replaceFile,
  type StoredTensor,
  type TensorContent,
  writeSafetensors,
} from './safetensors.ts';

const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';
const MIB = 2 ** 20;

/**
 * Finds the tensors of a checkpoint, sharded or in one file, by their released names.
 * @throws CheckpointError if files or tensors are missing, a file is damaged, or two tensors have one name
 */
export function readCheckpointIndex(folder: string): Map<string, LocatedTensor> {
  const located = new Map<string, LocatedTensor>();
  for (const [shard, names] of shardsOf(folder)) {
    const file = join(folder, shard);
    const { tensors } = readSafetensorsHeader(file);
    if (names !== undefined) assertHolds(join(folder, INDEX), file, names, tensors);
    for (const [storedName, tensor] of tensors) {
      const name = toReleasedName(storedName);
      const other = located.get(name);
      if (other !== undefined) {
        throw new CheckpointError(
          `${name} is stored twice: as ${other.storedName} in ${other.file}, and as ${storedName} in ${file}. Remove one.`,
        );
      }
      located.set(name, { ...tensor, file, storedName });
    }
  }
  return located;
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/* The files of a checkpoint, and the names that the index gives for each; undefined where there is no index. */
function shardsOf(folder: string): Map<string, Set<string> | undefined> {
  const index = join(folder, INDEX);
  if (!existsSync(index)) {
    if (existsSync(join(folder, SINGLE))) return new Map([[SINGLE, undefined]]);
    throw new CheckpointError(
      `${folder} holds neither ${INDEX} nor ${SINGLE}. Give the folder of a model in Hugging Face's layout.`,
    );
  }
  const result = indexSchema.safeParse(readJson(index));
  if (!result.success) {
    throw new CheckpointError(`${index} is wrong:\n${z.prettifyError(result.error)}\nFetch it again.`);
  }
  const shards = new Map<string, Set<string>>();
  for (const [name, shard] of Object.entries(result.data.weight_map)) {
    const names = shards.get(shard);
    if (names !== undefined) {
      names.add(name);
      continue;
    }
    if (!existsSync(join(folder, shard))) {
      throw new CheckpointError(
        `${index} says that ${name} is in ${shard}, but there is no such file. Fetch it.`,
      );
    }
    shards.set(shard, new Set([name]));
  }
  return shards;
}

function assertHolds(
  index: string,
  file: string,
  names: ReadonlySet<string>,
  tensors: ReadonlyMap<string, StoredTensor>,
): void {
  const problems = [
    ...list(
      `that ${index} says are in ${file} are not there`,
      [...names].filter((name) => !tensors.has(name)),
    ),
    ...list(
      `in ${file} are not in ${index}`,
      [...tensors.keys()].filter((name) => !names.has(name)),
    ),
  ];
  if (problems.length === 0) return;
  throw new CheckpointError(
    `The index and the file belong to different checkpoints:\n${problems.join('\n')}\nFetch both again.`,
  );
}

/** How parameters are loaded. */
export interface LoadOptions {
  /** to keep them in; default: as they are stored */
  dtype?: ParameterDType | undefined;
  /** gets what the user should know */
  warn?: (message: string) => void;
}

/**
 * Loads the parameters of a checkpoint, by their released names, straight from its files, with a progress bar. Where
 * the head is the embedding (tied), there is no `lm_head.weight` among them.
 *
 * As in transformers 5, a stored head that differs from the embedding is used though the config ties them, with a
 * warning; unlike there, a missing `tie_word_embeddings` without a stored head means tied, as in transformers 4.
 *
 * @returns variables, which are the caller's to dispose
 * @throws CheckpointError if tensors are missing, left over or mis-shaped, or a file is damaged
 */
export function loadParameters(
  folder: string,
  config: ModelConfig,
  { dtype, warn = (message) => log.warn(message) }: LoadOptions = {},
): Map<string, Variable> {
  const located = readCheckpointIndex(folder);
  const hasHead = hasOwnHead(folder, located, config, warn);
  assertShapes(folder, located, expectedTensors(config, { head: located.has(HEAD) }));
  if (!hasHead) located.delete(HEAD);
  const total = [...located.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  using progress = startProgress('Loading the weights', Math.max(1, Math.round(total / MIB)), 'MiB');
  const parameters = new Map<string, Variable>();
  let done = 0;
  try {
    for (const [name, tensor] of inFileOrder(located)) {
      parameters.set(name, loadTensor(name, tensor, dtype));
      done += tensor.bytes;
      progress.update(Math.round(done / MIB));
    }
  } catch (error) {
    for (const variable of parameters.values()) variable.dispose();
    throw error;
  }
  return parameters;
}

const inFileOrder = (located: ReadonlyMap<string, LocatedTensor>): [string, LocatedTensor][] =>
  [...located].sort(([, a], [, b]) => (a.file === b.file ? a.offset - b.offset : a.file < b.file ? -1 : 1));

function hasOwnHead(
  folder: string,
  located: ReadonlyMap<string, LocatedTensor>,
  { tieWordEmbeddings }: ModelConfig,
  warn: (message: string) => void,
): boolean {
  const head = located.get(HEAD);
  const embedding = located.get(EMBEDDING);
  if (head === undefined) {
    if (tieWordEmbeddings !== false) return false;
    throw new CheckpointError(
      `${folder} holds no ${HEAD}, and its config.json says that the head is not the embedding (tie_word_embeddings ` +
        'is false). Fetch the missing file, or set it to true if they are tied.',
    );
  }
  if (tieWordEmbeddings !== true || embedding === undefined) return true;
  if (haveEqualBytes(head, embedding)) return false;
  warn(
    `${head.file} holds a ${head.storedName} that differs from the embedding, though config.json ties them ` +
      '(tie_word_embeddings is true). It is used, as in transformers 5; transformers 4 ignores it.',
  );
  return true;
}

const COMPARED_BYTES = 8 * MIB;

function haveEqualBytes(a: LocatedTensor, b: LocatedTensor): boolean {
  if (a.dtype !== b.dtype || a.bytes !== b.bytes) return false;
  const buffers = [Buffer.alloc(COMPARED_BYTES), Buffer.alloc(COMPARED_BYTES)] as const;
  for (let at = 0; at < a.bytes; at += COMPARED_BYTES) {
    const [x, y] = buffers.map((buffer) => buffer.subarray(0, a.bytes - at)) as [Buffer, Buffer];
    readRange(a.file, a.offset + at, x);
    readRange(b.file, b.offset + at, y);
    if (!x.equals(y)) return false;
  }
  return true;
}

function assertShapes(
  folder: string,
  located: ReadonlyMap<string, LocatedTensor>,
  expected: ReadonlyMap<string, readonly number[]>,
): void {
  const text = (shape: readonly number[] = []): string => `[${shape.join(', ')}]`;
  const missing = [...expected].filter(([name]) => !located.has(name));
  const leftOver = [...located].filter(([name]) => !expected.has(name));
  const misshaped = [...located].filter(
    ([name, { shape }]) => expected.has(name) && text(expected.get(name)) !== text(shape),
  );
  const problems = [
    ...list(
      'missing',
      missing.map(([name, shape]) => `${name}, expected ${text(shape)}`),
    ),
    ...list(
      'left over',
      leftOver.map(([, { storedName, file, shape }]) => `${storedName} ${text(shape)} in ${file}`),
    ),
    ...list(
      'of another shape',
      misshaped.map(
        ([name, { storedName, file, shape }]) =>
          `${storedName} in ${file}: found ${text(shape)}, expected ${text(expected.get(name))}`,
      ),
    ),
  ];
  if (problems.length === 0) return;
  throw new CheckpointError(
    `The weights in ${folder} do not fit its config.json:\n${problems.join('\n')}\nFetch what is missing, or the ` +
      'config.json that belongs to them.',
  );
}

const NAMED_AT_MOST = 10;

function list(what: string, items: readonly string[]): string[] {
  if (items.length === 0) return [];
  const more = items.length > NAMED_AT_MOST ? [`    and ${items.length - NAMED_AT_MOST} more`] : [];
  return [
    `  ${items.length} ${what}:`,
    ...items.slice(0, NAMED_AT_MOST).map((item) => `    ${item}`),
    ...more,
  ];
}

/** The default of transformers 4 and of the hub. */
const MAX_SHARD_BYTES = 5e9;
const WEIGHTS = /^model(-\d{5}-of-\d{5})?\.safetensors(\.new)?(\.partial)?$/;
const STAGED = '.new';

/** Whether a file of a model's folder holds its weights or their index, or is what an interrupted save left of them. */
export const isWeightsFile = (name: string): boolean =>
  name === INDEX || name === `${INDEX}.partial` || WEIGHTS.test(name);

/**
 * Writes parameters in the released layout: one file, or shards with an index. A checkpoint that is in the folder
 * already stays until all of the new one is on the disk.
 *
 * @param parameters by their released names
 * @throws CheckpointError if a file cannot be written
 */
export function saveParameters(
  folder: string,
  parameters: ReadonlyMap<string, TensorContent>,
  { maxShardBytes = MAX_SHARD_BYTES }: { maxShardBytes?: number } = {},
): void {
  const shards = dealToShards(parameters, maxShardBytes);
  const number = (i: number): string => String(i).padStart(5, '0');
  const names = shards.map((_, i) =>
    shards.length === 1 ? SINGLE : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
  );
  orCannotWrite(folder, () => mkdirSync(folder, { recursive: true }));
  try {
    shards.forEach((shard, i) => {
      writeSafetensors(join(folder, `${names[i] ?? ''}${STAGED}`), shard);
    });
    orCannotWrite(folder, () => {
      giveNames(folder, names);
    });
    if (shards.length > 1) writeIndex(join(folder, INDEX), shards, names);
  } finally {
    for (const name of names) rmSync(join(folder, `${name}${STAGED}`), { force: true });
  }
  orCannotWrite(folder, () => {
    removeStale(folder, names);
  });
}

function giveNames(folder: string, names: readonly string[]): void {
  // An index never points at a mixture of two checkpoints: without it, a kill from here on leaves an error to see.
  if (names.some((name) => name !== SINGLE && existsSync(join(folder, name)))) {
    rmSync(join(folder, INDEX), { force: true });
  }
  for (const name of names) renameSync(join(folder, `${name}${STAGED}`), join(folder, name));
}

function dealToShards(
  tensors: ReadonlyMap<string, TensorContent>,
  maxBytes: number,
): Map<string, TensorContent>[] {
  let shard = new Map<string, TensorContent>();
  const shards = [shard];
  let used = 0;
  for (const [name, tensor] of tensors) {
    const bytes = byteLength(tensor);
    if (used > 0 && used + bytes > maxBytes) {
      shard = new Map<string, TensorContent>();
      shards.push(shard);
      used = 0;
    }
    shard.set(name, tensor);
    used += bytes;
  }
  return shards;
}

function writeIndex(
  file: string,
  shards: readonly ReadonlyMap<string, TensorContent>[],
  names: readonly string[],
): void {
  const map = shards.flatMap((shard, i) => [...shard.keys()].map((name) => [name, names[i]] as const));
  const bytes = shards.flatMap((shard) => [...shard.values()].map(byteLength));
  const index = {
    metadata: { total_size: bytes.reduce((sum, size) => sum + size, 0) },
    weight_map: Object.fromEntries(map.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  replaceFile(file, (write) => {
    write(Buffer.from(`${JSON.stringify(index, undefined, 2)}\n`));
  });
}

/* Weights of an earlier checkpoint under other names, and what a save that was killed left. */
function removeStale(folder: string, names: readonly string[]): void {
  if (names.length === 1) rmSync(join(folder, INDEX), { force: true });
  for (const file of readdirSync(folder)) {
    if (WEIGHTS.test(file) && !names.includes(file)) rmSync(join(folder, file));
  }
}
