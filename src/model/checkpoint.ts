import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { CheckpointError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { startProgress } from '../common/progress.ts';
import type { ModelConfig } from '../config/model.ts';
import { toBfloat16, toFloat16 } from '../runtime/halves.ts';
import { Variable, type VariableDType } from '../runtime/index.ts';
import { expectedShapes, toReleasedName } from './names.ts';
import {
  byteLength,
  readSafetensorsHeader,
  type SafetensorsDType,
  type StoredTensor,
  type TensorToWrite,
  writeSafetensors,
} from './safetensors.ts';

const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';
const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';
const DTYPES = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' } as const;
const MIB = 2 ** 20;
/** Hugging Face's default is 5 GB. */
const MAX_SHARD_BYTES = 5e9;
const NAMED_AT_MOST = 10;

/** A parameter on disk. */
export interface LocatedTensor extends StoredTensor {
  file: string;
}

/**
 * Finds the tensors of a checkpoint, sharded or in one file, by their released names.
 * @throws CheckpointError if files or tensors are missing, or a file is damaged
 */
export function locateTensors(folder: string): Map<string, LocatedTensor> {
  const located = new Map<string, LocatedTensor>();
  for (const [shard, names] of shardsOf(folder)) {
    const file = join(folder, shard);
    if (!existsSync(file)) {
      throw new CheckpointError(
        `${join(folder, INDEX)} names ${shard} for ${names?.[0] ?? 'its tensors'}, but there is no such file. Fetch it.`,
      );
    }
    const tensors = readSafetensorsHeader(file);
    for (const name of names ?? tensors.keys()) {
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        throw new CheckpointError(
          `${join(folder, INDEX)} says that ${name} is in ${shard}; it is not there.`,
        );
      }
      located.set(toReleasedName(name), { ...tensor, file });
    }
  }
  return located;
}

/* The files of a checkpoint, and which tensors are to be in each (undefined: all that are). */
function shardsOf(folder: string): Map<string, string[] | undefined> {
  const index = join(folder, INDEX);
  if (!existsSync(index)) {
    if (existsSync(join(folder, SINGLE))) return new Map([[SINGLE, undefined]]);
    throw new CheckpointError(
      `${folder} holds neither ${INDEX} nor ${SINGLE}: is it the folder of a model in Hugging Face's layout?`,
    );
  }
  const shards = new Map<string, string[]>();
  for (const [name, shard] of Object.entries(readWeightMap(index))) {
    const names = shards.get(shard) ?? [];
    names.push(name);
    shards.set(shard, names);
  }
  return shards;
}

function readWeightMap(file: string): Record<string, string> {
  const map = (readJson(file) as { weight_map?: unknown } | null)?.weight_map;
  if (
    typeof map === 'object' &&
    map !== null &&
    Object.values(map).every((shard) => typeof shard === 'string')
  ) {
    return map as Record<string, string>;
  }
  throw new CheckpointError(`${file} has no weight_map from tensors to files: fetch it again.`);
}

/**
 * Reads a JSON file of a checkpoint.
 * @throws CheckpointError if it is missing or no JSON
 */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown;
  } catch (error) {
    throw new CheckpointError(`${file} cannot be read: ${messageOf(error)}. Fetch it again.`);
  }
}

/**
 * Loads the parameters of a checkpoint, by their released names, straight from its files, with a progress bar. Where
 * the head is the embedding (tied), there is no `lm_head.weight` among them.
 *
 * As in transformers 5, a missing `tie_word_embeddings` without a stored head means tied, and a stored head that
 * differs from a tied embedding is used, with a warning.
 *
 * @param dtype to keep them in; default: as they are stored
 * @throws CheckpointError if tensors are missing, left over or mis-shaped, or a file is damaged
 */
export function loadParameters(
  folder: string,
  config: ModelConfig,
  { dtype }: { dtype?: VariableDType | undefined } = {},
): Map<string, Variable> {
  const located = chooseHead(folder, locateTensors(folder), config);
  assertShapes(folder, located, config);
  const total = [...located.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  using progress = startProgress('Loading', Math.max(1, Math.round(total / MIB)), 'MiB');
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

/** Loads one tensor; one that changes its type is in memory twice for a moment. */
export function loadTensor(name: string, tensor: LocatedTensor, dtype?: VariableDType): Variable {
  const { file, offset, shape } = tensor;
  const stored = Variable.fromFile(file, { offset, shape, dtype: DTYPES[tensor.dtype], name });
  if (dtype === undefined || dtype === stored.dtype) return stored;
  const made: Variable[] = [];
  tf.tidy(() => {
    made.push(Variable.fromTensor(stored.read(), { dtype, name }));
  });
  stored.dispose();
  return made[0] as Variable;
}

function chooseHead(
  folder: string,
  located: Map<string, LocatedTensor>,
  { tieWordEmbeddings }: ModelConfig,
): Map<string, LocatedTensor> {
  const head = located.get(HEAD);
  const embedding = located.get(EMBEDDING);
  if (head === undefined) {
    if (tieWordEmbeddings !== false) return located;
    throw new CheckpointError(
      `${folder} holds no ${HEAD}, and its config.json says that the head is not the embedding (tie_word_embeddings is ` +
        'false). Fetch the missing shard, or set it to true if they are tied.',
    );
  }
  if (tieWordEmbeddings !== true || embedding === undefined) return located;
  if (haveEqualBytes(head, embedding)) {
    const rest = new Map(located);
    rest.delete(HEAD);
    return rest;
  }
  log.warn(
    `${head.file} holds a ${HEAD} that differs from the embedding, though config.json ties them. It is used, as in ` +
      'transformers 5.',
  );
  return located;
}

const COMPARED_AT_ONCE = 8 * MIB;

function haveEqualBytes(a: LocatedTensor, b: LocatedTensor): boolean {
  if (a.dtype !== b.dtype || a.bytes !== b.bytes) return false;
  const parts = [a, b].map(({ file, offset }) => ({
    handle: openSync(file, 'r'),
    offset,
    buffer: Buffer.alloc(COMPARED_AT_ONCE),
  }));
  try {
    for (let at = 0; at < a.bytes; at += COMPARED_AT_ONCE) {
      const size = Math.min(COMPARED_AT_ONCE, a.bytes - at);
      const [x, y] = parts.map(({ handle, offset, buffer }) => {
        readSync(handle, buffer, 0, size, offset + at);
        return buffer.subarray(0, size);
      }) as [Buffer, Buffer];
      if (!x.equals(y)) return false;
    }
    return true;
  } finally {
    for (const { handle } of parts) closeSync(handle);
  }
}

function assertShapes(
  folder: string,
  located: ReadonlyMap<string, LocatedTensor>,
  config: ModelConfig,
): void {
  const expected = expectedShapes(config);
  if (located.has(HEAD)) expected.set(HEAD, expected.get(EMBEDDING) as number[]);
  const missing = [...expected].filter(([name]) => !located.has(name));
  const leftOver = [...located].filter(([name]) => !expected.has(name));
  const misshaped = [...located].filter(
    ([name, { shape }]) => expected.has(name) && expected.get(name)?.join() !== shape.join(),
  );
  const problems = [
    ...list('missing', missing, ([name, shape]) => `${name} [${shape.join(', ')}]`),
    ...list('left over', leftOver, ([name, { file, shape }]) => `${name} [${shape.join(', ')}] in ${file}`),
    ...list(
      'mis-shaped',
      misshaped,
      ([name, { file, shape }]) =>
        `${name} in ${file} is [${shape.join(', ')}], expected [${expected.get(name)?.join(', ') ?? ''}]`,
    ),
  ];
  if (problems.length === 0) return;
  throw new CheckpointError(
    `The weights in ${folder} do not fit its config.json:\n${problems.join('\n')}\nFetch what is missing, or the ` +
      'config.json that belongs to them.',
  );
}

function list<T>(what: string, items: readonly T[], line: (item: T) => string): string[] {
  if (items.length === 0) return [];
  const named = items.slice(0, NAMED_AT_MOST).map((item) => `    ${line(item)}`);
  const more = items.length > NAMED_AT_MOST ? [`    and ${items.length - NAMED_AT_MOST} more`] : [];
  return [`  ${items.length} ${what}:`, ...named, ...more];
}

const STORED: Record<VariableDType, SafetensorsDType | undefined> = {
  float32: 'F32',
  bfloat16: 'BF16',
  float16: 'F16',
  int32: undefined,
};

/** A parameter as it is written: in its own type. */
export function toWrite(name: string, variable: Variable): TensorToWrite {
  const dtype = STORED[variable.dtype];
  if (dtype === undefined) throw new CheckpointError(`${name} is of type int32, which no checkpoint holds.`);
  return {
    name,
    dtype,
    shape: variable.shape,
    bytes: () => {
      const values = tf.tidy(() => variable.read().dataSync<'float32'>());
      const halves = dtype === 'BF16' ? toBfloat16(values) : dtype === 'F16' ? toFloat16(values) : values;
      return new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength);
    },
  };
}

/**
 * Writes parameters in the released layout: one file, or shards with an index. Each file gets its name once all of them
 * are whole, and what was there before is removed only then.
 *
 * @param parameters by their released names
 * @throws CheckpointError if a file cannot be written
 */
export function saveParameters(
  folder: string,
  parameters: ReadonlyMap<string, Variable>,
  { maxShardBytes = MAX_SHARD_BYTES }: { maxShardBytes?: number } = {},
): void {
  const shards = dealToShards(
    [...parameters].map(([name, variable]) => toWrite(name, variable)),
    maxShardBytes,
  );
  const number = (i: number): string => String(i).padStart(5, '0');
  const names = shards.map((_, i) =>
    shards.length === 1 ? SINGLE : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
  );
  shards.forEach((shard, i) => {
    writeSafetensors(join(folder, `.${names[i] ?? ''}.new`), shard);
  });
  for (const name of names) renameSync(join(folder, `.${name}.new`), join(folder, name));
  if (shards.length > 1) writeIndex(folder, shards, names);
  removeOthers(folder, names);
}

function dealToShards(tensors: readonly TensorToWrite[], maxBytes: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [[]];
  let used = 0;
  for (const tensor of tensors) {
    const bytes = byteLength(tensor);
    if (used > 0 && used + bytes > maxBytes) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1)?.push(tensor);
    used += bytes;
  }
  return shards;
}

function writeIndex(folder: string, shards: readonly TensorToWrite[][], names: readonly string[]): void {
  const map = shards.flatMap((shard, i) => shard.map(({ name }) => [name, names[i]] as const));
  const index = {
    metadata: { total_size: shards.flat().reduce((sum, tensor) => sum + byteLength(tensor), 0) },
    weight_map: Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  writeFileSync(join(folder, `.${INDEX}.new`), `${JSON.stringify(index, undefined, 2)}\n`, { flush: true });
  renameSync(join(folder, `.${INDEX}.new`), join(folder, INDEX));
}

/* Weights of an earlier save under other names. */
function removeOthers(folder: string, names: readonly string[]): void {
  if (names.length === 1) rmSync(join(folder, INDEX), { force: true });
  for (const file of readdirSync(folder)) {
    const isWeights = file === SINGLE || /^model-\d{5}-of-\d{5}\.safetensors$/.test(file);
    if (isWeights && !names.includes(file)) rmSync(join(folder, file));
  }
}
