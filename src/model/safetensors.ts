import { closeSync, fsyncSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { CheckpointError, messageOf } from '../common/errors.ts';

/** The element types that are read and written, as the format names them. */
export type SafetensorsDType = 'F32' | 'BF16' | 'F16';
const BYTES: Record<SafetensorsDType, number> = { F32: 4, BF16: 2, F16: 2 };

/** A tensor in a file. */
export interface StoredTensor {
  dtype: SafetensorsDType;
  shape: number[];
  /** in bytes from the file's beginning */
  offset: number;
  bytes: number;
}

const LENGTH_BYTES = 8;
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});

/**
 * Reads which tensors a safetensors file holds, and where.
 * @throws CheckpointError that names the file, the tensor, what was found and what was expected
 */
export function readSafetensorsHeader(file: string): Map<string, StoredTensor> {
  const { json, dataFrom, size } = readHeader(file);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue;
    tensors.set(name, toStoredTensor(file, name, value, dataFrom));
  }
  assertLayout(file, tensors, dataFrom, size);
  return tensors;
}

function readHeader(file: string): { json: Record<string, unknown>; dataFrom: number; size: number } {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (error) {
    throw new CheckpointError(`The file ${file} cannot be opened: ${messageOf(error)}.`);
  }
  try {
    const { size } = statSync(file);
    const length = Buffer.alloc(LENGTH_BYTES);
    if (readSync(handle, length, 0, LENGTH_BYTES, 0) < LENGTH_BYTES) {
      throw new CheckpointError(
        `${file} has ${size} bytes; a safetensors file begins with ${LENGTH_BYTES} bytes of header length. Fetch it again.`,
      );
    }
    const bytes = length.readBigUInt64LE();
    if (bytes > MAX_HEADER_BYTES || LENGTH_BYTES + Number(bytes) > size) {
      throw new CheckpointError(
        `${file} says that its header has ${bytes.toString()} bytes, but the file has ${size}. It is cut short or no ` +
          'safetensors file: fetch it again.',
      );
    }
    const text = Buffer.alloc(Number(bytes));
    readSync(handle, text, 0, text.length, LENGTH_BYTES);
    return { json: parseHeader(file, text.toString('utf8')), dataFrom: LENGTH_BYTES + text.length, size };
  } finally {
    closeSync(handle);
  }
}

function parseHeader(file: string, text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(
      `The header of ${file} is no JSON (${messageOf(error)}): fetch the file again.`,
    );
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw new CheckpointError(`The header of ${file} is no JSON object: fetch the file again.`);
}

function toStoredTensor(file: string, name: string, value: unknown, dataFrom: number): StoredTensor {
  const result = entrySchema.safeParse(value);
  if (!result.success) {
    throw new CheckpointError(
      `${file}: the header's entry for ${name} is wrong:\n${z.prettifyError(result.error)}`,
    );
  }
  const { dtype, shape, data_offsets } = result.data;
  const [begin, end] = data_offsets;
  if (!(dtype in BYTES)) {
    throw new CheckpointError(`${file}: ${name} has dtype ${dtype}; F32, BF16 and F16 can be read.`);
  }
  const known = dtype as SafetensorsDType;
  const expected = shape.reduce((product, dim) => product * dim, BYTES[known]);
  if (end - begin !== expected) {
    throw new CheckpointError(
      `${file}: ${name}, ${dtype}[${shape.join(', ')}], takes ${expected} bytes, but its header's entry gives it ` +
        `${end - begin} (from ${begin} to ${end}).`,
    );
  }
  return { dtype: known, shape, offset: dataFrom + begin, bytes: expected };
}

/* Tensors have to lie in the file, and not on one another. */
function assertLayout(
  file: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  dataFrom: number,
  size: number,
): void {
  const sorted = [...tensors].filter(([, { bytes }]) => bytes > 0);
  sorted.sort(([, a], [, b]) => a.offset - b.offset);
  let at = dataFrom;
  let last = 'the header';
  for (const [name, { offset, bytes }] of sorted) {
    if (offset < at) throw new CheckpointError(`${file}: ${name} begins at byte ${offset}, within ${last}.`);
    at = offset + bytes;
    last = name;
    if (at > size) {
      throw new CheckpointError(
        `${file} ends at byte ${size}, within ${name}, which ends at byte ${at}. The file is cut short (an ` +
          'interrupted download?): fetch it again.',
      );
    }
  }
}

/** A tensor to be written; its bytes are made when their turn comes. */
export interface TensorToWrite {
  name: string;
  dtype: SafetensorsDType;
  shape: readonly number[];
  bytes: () => Uint8Array;
}

/** The bytes that a tensor takes. */
export const byteLength = ({ dtype, shape }: Pick<TensorToWrite, 'dtype' | 'shape'>): number =>
  shape.reduce((product, dim) => product * dim, BYTES[dtype]);

/**
 * Writes a safetensors file, tensor by tensor. It gets its name once it is whole and on the disk.
 * @throws CheckpointError if it cannot be written
 */
export function writeSafetensors(file: string, tensors: readonly TensorToWrite[]): void {
  const temporary = `${file}.partial`;
  try {
    const handle = openSync(temporary, 'w');
    try {
      writeAll(handle, headerOf(tensors));
      for (const tensor of tensors) writeAll(handle, tensor.bytes());
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, file);
  } catch (error) {
    throw new CheckpointError(`${file} cannot be written: ${messageOf(error)}.`);
  }
}

function headerOf(tensors: readonly TensorToWrite[]): Buffer {
  let at = 0;
  const entries = tensors.map((tensor) => {
    const begin = at;
    at += byteLength(tensor);
    return [tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, at] }];
  });
  const json = JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) });
  const text = Buffer.from(json.padEnd(Math.ceil(Buffer.byteLength(json) / ALIGNMENT) * ALIGNMENT));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

function writeAll(handle: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(handle, bytes, done);
}
