import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { CheckpointError, messageOf } from '../common/errors.ts';
import { readRange } from '../common/files.ts';

/*
 * The format: 8 bytes with the header's length (little-endian), the header as JSON, padded with spaces, then the
 * tensors' bytes, without gaps. https://huggingface.co/docs/safetensors
 */

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

/** What a file's header says. */
export interface SafetensorsHeader {
  tensors: Map<string, StoredTensor>;
  metadata: Record<string, string>;
}

const LENGTH_BYTES = 8;
/** The limit of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;
const METADATA = '__metadata__';
const FETCH_AGAIN = 'It is cut short (an interrupted download?) or damaged: fetch it again.';

const offset = z.int().min(0);
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([offset, offset]),
});
const metadataSchema = z.record(z.string(), z.string());

/**
 * Reads which tensors a safetensors file holds, and where.
 * @throws CheckpointError that names the file, the tensor, what was found and what was expected
 */
export function readSafetensorsHeader(file: string): SafetensorsHeader {
  const { entries, dataFrom, size } = readHeader(file);
  const metadata = metadataSchema.safeParse(entries.get(METADATA) ?? {});
  if (!metadata.success) {
    throw new CheckpointError(`${file}: ${METADATA} is wrong:\n${z.prettifyError(metadata.error)}`);
  }
  entries.delete(METADATA);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, value] of entries) tensors.set(name, toStoredTensor(file, name, value, dataFrom));
  assertLayout(file, tensors, dataFrom, size);
  return { tensors, metadata: metadata.data };
}

function readHeader(file: string): { entries: Map<string, unknown>; dataFrom: number; size: number } {
  const size = sizeOf(file);
  if (size < LENGTH_BYTES) {
    throw new CheckpointError(
      `${file} has ${size} bytes; a safetensors file has ${LENGTH_BYTES} for its header's length alone. ${FETCH_AGAIN}`,
    );
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  readRange(file, 0, length);
  const bytes = length.readBigUInt64LE();
  if (bytes > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `${file} says that its header has ${bytes.toString()} bytes; at most ${MAX_HEADER_BYTES} are expected. It is no ` +
        'safetensors file, or damaged: fetch it again.',
    );
  }
  const dataFrom = LENGTH_BYTES + Number(bytes);
  if (dataFrom > size) {
    throw new CheckpointError(
      `${file} ends at byte ${size}, within its header, which ends at byte ${dataFrom}. ${FETCH_AGAIN}`,
    );
  }
  const header = Buffer.alloc(Number(bytes));
  readRange(file, LENGTH_BYTES, header);
  return { entries: parseHeader(file, header), dataFrom, size };
}

function sizeOf(file: string): number {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) throw new CheckpointError(`There is no file ${file}. Fetch it.`);
  if (!stats.isFile()) throw new CheckpointError(`${file} is no file; expected a safetensors file.`);
  return stats.size;
}

function parseHeader(file: string, header: Buffer): Map<string, unknown> {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header);
    json = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(
      `The header of ${file} is not JSON (${messageOf(error)}). Fetch the file again.`,
    );
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new CheckpointError(`The header of ${file} is no JSON object. Fetch the file again.`);
  }
  const entries = new Map<string, unknown>(Object.entries(json));
  const names = keysOf(text);
  if (names.length > entries.size) {
    const twice = names.find((name, i) => names.indexOf(name) !== i) ?? '';
    throw new CheckpointError(`The header of ${file} has two entries for ${twice}. Fetch the file again.`);
  }
  return entries;
}

/* The keys of a JSON object, with those that JSON.parse would drop since they come again. */
function keysOf(json: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[{}[\]]/g)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (depth === 1 && token.endsWith(':')) keys.push(JSON.parse(token.slice(0, -1)) as string);
  }
  return keys;
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
  if (!isSupported(dtype)) {
    throw new CheckpointError(
      `${file}: ${name} is of type ${dtype}; ${Object.keys(BYTES).join(', ')} can be read. Convert it first.`,
    );
  }
  const bytes = byteLength({ dtype, shape });
  if (end - begin !== bytes) {
    throw new CheckpointError(
      `${file}: ${name}, ${dtype} [${shape.join(', ')}], takes ${bytes} bytes, but its entry in the header gives it ` +
        `${end - begin} (${begin} to ${end}). Fetch the file again.`,
    );
  }
  return { dtype, shape, offset: dataFrom + begin, bytes };
}

const isSupported = (dtype: string): dtype is SafetensorsDType => Object.hasOwn(BYTES, dtype);

/* The tensors have to fill the file, without gaps and overlaps. */
function assertLayout(
  file: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  dataFrom: number,
  size: number,
): void {
  const sorted = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let at = dataFrom;
  let last = 'the header';
  for (const [name, { offset, bytes }] of sorted) {
    if (offset !== at) {
      throw new CheckpointError(
        `${file}: ${name} begins at byte ${offset}, ${offset < at ? 'within' : 'with a gap after'} ${last}, which ends ` +
          `at byte ${at}. Fetch the file again.`,
      );
    }
    at += bytes;
    last = name;
    if (at > size) {
      throw new CheckpointError(
        `${file} ends at byte ${size}, within ${name}, which ends at byte ${at}. ${FETCH_AGAIN}`,
      );
    }
  }
  if (at === size) return;
  throw new CheckpointError(
    `${file} has ${size} bytes, but its last tensor, ${last}, ends at byte ${at}. Fetch the file again.`,
  );
}

/** A tensor's content, made when its turn comes to be written. */
export interface TensorContent {
  dtype: SafetensorsDType;
  shape: readonly number[];
  /** the elements, row-major and little-endian */
  bytes: () => Uint8Array;
}

/** The bytes that a tensor takes. */
export const byteLength = ({ dtype, shape }: Pick<TensorContent, 'dtype' | 'shape'>): number =>
  shape.reduce((product, dim) => product * dim, BYTES[dtype]);

/**
 * Writes a safetensors file, one tensor at a time. It gets its name once it is whole and on the disk.
 * @param tensors by name
 * @throws CheckpointError if it cannot be written, or a tensor has another size than its shape says
 */
export function writeSafetensors(file: string, tensors: ReadonlyMap<string, TensorContent>): void {
  // Larger elements first: then each tensor is aligned to its own.
  const sorted = [...tensors].sort(([, a], [, b]) => BYTES[b.dtype] - BYTES[a.dtype]);
  replaceFile(file, (write) => {
    write(headerOf(sorted));
    for (const [name, tensor] of sorted) {
      const bytes = tensor.bytes();
      if (bytes.byteLength !== byteLength(tensor)) {
        throw new CheckpointError(
          `${file}: ${name}, ${tensor.dtype} [${tensor.shape.join(', ')}], takes ${byteLength(tensor)} bytes; got ` +
            `${bytes.byteLength} to write.`,
        );
      }
      write(bytes);
    }
  });
}

function headerOf(tensors: readonly [string, TensorContent][]): Buffer {
  let at = 0;
  const entries = tensors.map(([name, tensor]) => {
    const begin = at;
    at += byteLength(tensor);
    return [name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, at] }];
  });
  const json = Buffer.from(JSON.stringify({ [METADATA]: { format: 'pt' }, ...Object.fromEntries(entries) }));
  const header = Buffer.alloc(LENGTH_BYTES + Math.ceil(json.length / ALIGNMENT) * ALIGNMENT, ' ');
  header.writeBigUInt64LE(BigInt(header.length - LENGTH_BYTES));
  json.copy(header, LENGTH_BYTES);
  return header;
}

// Node writes at most 2 GiB at once.
const WRITE_BYTES = 64 * 2 ** 20;

/**
 * Writes a file under another name and renames it once it is whole and on the disk.
 * @param body gets a function that writes what comes next
 * @throws CheckpointError if it cannot be written; what `body` throws
 */
export function replaceFile(file: string, body: (write: (bytes: Uint8Array) => void) => void): void {
  const temporary = `${file}.partial`;
  const handle = orCannotWrite(file, () => openSync(temporary, 'w'));
  try {
    try {
      body((bytes) => {
        for (let done = 0; done < bytes.length;) {
          const piece = Math.min(WRITE_BYTES, bytes.length - done);
          done += orCannotWrite(file, () => writeSync(handle, bytes, done, piece));
        }
      });
      orCannotWrite(file, () => fsyncSync(handle));
    } finally {
      closeSync(handle);
    }
    orCannotWrite(file, () => renameSync(temporary, file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Does something to a file or folder.
 * @throws CheckpointError that it cannot be written, with what `body` threw as the reason
 */
export function orCannotWrite<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new CheckpointError(`${file} cannot be written: ${messageOf(error)}.`);
  }
}
