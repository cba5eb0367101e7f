import { readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import { DataError, messageOf } from '../../common/errors.ts';
import { cannotRead } from './fields.ts';

/**
 * A variable of MATLAB: numbers (column by column), a text, the cells of a cell array, or the elements of an array of
 * structs.
 */
export type MatValue = number[] | string | { cells: MatValue[] } | { structs: Record<string, MatValue>[] };

/* Codes of "MAT-File Format" (MathWorks), level 5. */
const HEADER_BYTES = 128;
const COMPRESSED = 15;
const MATRIX = 14;
const UTF16 = 17;
const UTF32 = 18;
const CLASS = { cell: 1, struct: 2, char: 4, firstNumeric: 6, lastNumeric: 15 };
type ReadNumber = (view: DataView, at: number) => number;
const NUMBERS: Record<number, [bytes: number, read: ReadNumber]> = {
  1: [1, (view, at) => view.getInt8(at)],
  2: [1, (view, at) => view.getUint8(at)],
  3: [2, (view, at) => view.getInt16(at, true)],
  4: [2, (view, at) => view.getUint16(at, true)],
  5: [4, (view, at) => view.getInt32(at, true)],
  6: [4, (view, at) => view.getUint32(at, true)],
  7: [4, (view, at) => view.getFloat32(at, true)],
  9: [8, (view, at) => view.getFloat64(at, true)],
  12: [8, (view, at) => Number(view.getBigInt64(at, true))],
  13: [8, (view, at) => Number(view.getBigUint64(at, true))],
};

interface Element {
  type: number;
  data: Uint8Array;
}

/**
 * Reads the variables of a MATLAB file of level 5 (MATLAB 5 to 7.2, or `-v7`), compressed or not.
 * @throws DataError if it cannot be read, is of another level, or is damaged
 */
export function readMat(file: string): Record<string, MatValue> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    return cannotRead(file, error);
  }
  const isLevel5 = bytes.length >= HEADER_BYTES && Buffer.from(bytes.subarray(124, 128)).equals(LEVEL_5);
  if (!isLevel5) {
    throw new DataError(
      `${file} is no MATLAB file of level 5 with little-endian numbers, as the official sets have them. Fetch it again, ` +
        'or save it by `save -v7`.',
    );
  }
  try {
    return Object.fromEntries(
      [...elementsOf(bytes.subarray(HEADER_BYTES))]
        .map((element) => (element.type === COMPRESSED ? inflated(element.data) : element))
        .filter(({ type }) => type === MATRIX)
        .map(({ data }) => readMatrix(data))
        .map(({ name, value }) => [name, value]),
    );
  } catch (error) {
    throw new DataError(`${file} is damaged (${messageOf(error)}). Fetch it again.`);
  }
}

/* Version 1.0, and the letters "MI" as a little-endian machine writes them. */
const LEVEL_5 = Buffer.from([0x00, 0x01, 0x49, 0x4d]);

function inflated(data: Uint8Array): Element {
  const [element] = elementsOf(inflateSync(data));
  if (element === undefined) throw new RangeError('a compressed variable is empty');
  return element;
}

/* The elements that stand one after the other; each is padded to 8 bytes, but for compressed ones. */
function* elementsOf(bytes: Uint8Array): Generator<Element, void> {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length;) {
    const word = view.getUint32(at, true);
    // Up to 4 bytes share the 8 of type and size.
    const isSmall = word >>> 16 !== 0;
    const type = word & 0xffff;
    const size = isSmall ? word >>> 16 : view.getUint32(at + 4, true);
    const start = at + (isSmall ? 4 : 8);
    if (start + size > bytes.length) throw new RangeError(`it ends within an element of ${size} bytes`);
    yield { type, data: bytes.subarray(start, start + size) };
    if (isSmall) at += 8;
    else at = type === COMPRESSED ? start + size : start + Math.ceil(size / 8) * 8;
  }
}

/* An array: its flags, its dimensions, its name, and what its class holds. */
function readMatrix(bytes: Uint8Array): { name: string; value: MatValue } {
  const elements = elementsOf(bytes);
  const next = (): Element => {
    const result = elements.next();
    if (result.done === true) throw new RangeError('it ends within an array');
    return result.value;
  };
  const kind = (readNumbers(next())[0] ?? 0) & 0xff;
  const length = readNumbers(next()).reduce((product, side) => product * side, 1);
  const name = Buffer.from(next().data).toString('latin1');
  if (kind === CLASS.char) return { name, value: readText(next()) };
  if (kind >= CLASS.firstNumeric && kind <= CLASS.lastNumeric) return { name, value: readNumbers(next()) };
  const nested = (): MatValue => {
    const { data } = next();
    return data.length === 0 ? [] : readMatrix(data).value;
  };
  if (kind === CLASS.cell) return { name, value: { cells: Array.from({ length }, nested) } };
  if (kind !== CLASS.struct) throw new RangeError(`${name} is of class ${kind}, which is not read`);
  const nameBytes = readNumbers(next())[0] ?? 0;
  const fields = readFieldNames(next().data, nameBytes);
  const structs = Array.from({ length }, () => Object.fromEntries(fields.map((field) => [field, nested()])));
  return { name, value: { structs } };
}

function readFieldNames(data: Uint8Array, nameBytes: number): string[] {
  if (nameBytes === 0) return [];
  return Array.from({ length: data.length / nameBytes }, (_, i) =>
    Buffer.from(data.subarray(i * nameBytes, (i + 1) * nameBytes))
      .toString('latin1')
      .replace(/\0.*$/, ''),
  );
}

function readNumbers({ type, data }: Element): number[] {
  const known = NUMBERS[type];
  if (known === undefined) throw new RangeError(`numbers of type ${type} are not known`);
  const [bytes, read] = known;
  const view = viewOf(data);
  return Array.from({ length: Math.floor(data.length / bytes) }, (_, i) => read(view, i * bytes));
}

/* Characters are numbers of one or two bytes, or UTF-8, -16 or -32. */
function readText({ type, data }: Element): string {
  if (type === UTF16) return Buffer.from(data).toString('utf16le');
  if (type === UTF32) return String.fromCodePoint(...readNumbers({ type: 6, data }));
  const isWide = NUMBERS[type]?.[0] === 2;
  return Buffer.from(data).toString(isWide ? 'utf16le' : 'utf8');
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

type Variables = Record<string, MatValue>;

/** The texts of a cell array. @throws DataError if there is no such variable */
export function cellTexts(variables: Variables, name: string, file: string): string[] {
  const value = variables[name];
  const cells = typeof value === 'object' && 'cells' in value ? value.cells : undefined;
  if (cells?.every((cell) => typeof cell === 'string') === true) return cells;
  return lacks(variables, file, `a cell array of texts named ${name}`);
}

/** The numbers of an array. @throws DataError if there is no such variable */
export function numbersOf(variables: Variables, name: string, file: string): number[] {
  const value = variables[name];
  return Array.isArray(value) ? value : lacks(variables, file, `an array of numbers named ${name}`);
}

/**
 * Some fields of each struct of an array: texts, and single numbers.
 * @throws DataError if there is no such variable, or a field is missing in one
 */
export function readFields(
  variables: Variables,
  name: string,
  fields: readonly string[],
  file: string,
): (string | number)[][] {
  const value = variables[name];
  if (typeof value !== 'object' || !('structs' in value))
    return lacks(variables, file, `structs named ${name}`);
  return value.structs.map((struct, i) =>
    fields.map((field) => {
      const inner = struct[field];
      const single = Array.isArray(inner) ? inner[0] : inner;
      if (typeof single === 'string' || typeof single === 'number') return single;
      throw new DataError(
        `${file}, row ${i + 1}, field ${field}: found nothing, expected a text or a number in each of ${name}. ` +
          'Fetch the file again.',
      );
    }),
  );
}

function lacks(variables: Variables, file: string, expected: string): never {
  throw new DataError(
    `${file} holds ${Object.keys(variables).join(', ') || 'nothing'}; expected ${expected}. Fetch the file again.`,
  );
}
