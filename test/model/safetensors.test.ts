import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CheckpointError } from '../../src/common/errors.ts';
import { readSafetensorsHeader, type TensorContent, writeSafetensors } from '../../src/model/safetensors.ts';
import { GOLDENS, readGolden } from '../support/safetensors.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-safetensors-'));
  file = join(folder, 'x.safetensors');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/* Writes a file with the given header and this many bytes of data. */
function writeRaw(header: unknown, dataBytes = 0): void {
  const text = typeof header === 'string' || Buffer.isBuffer(header) ? header : JSON.stringify(header);
  const json = Buffer.from(text as string);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(file, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
}

const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const content = (dtype: TensorContent['dtype'], shape: number[], bytes: Uint8Array): TensorContent => ({
  dtype,
  shape,
  bytes: () => bytes,
});

function messageOfBroken(): string {
  try {
    readSafetensorsHeader(file);
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as Error).message).toContain(file);
    return (error as Error).message;
  }
  throw new Error('The file was taken for whole.');
}

describe('readSafetensorsHeader', () => {
  it('finds the tensors of a file that torch wrote', () => {
    const path = new URL('model/tiny-a/model-00001-of-00002.safetensors', GOLDENS).pathname;
    const { tensors, metadata } = readSafetensorsHeader(path);
    const golden = readGolden(path);
    const bytes = readFileSync(path);
    expect(metadata).toEqual({ format: 'pt' });
    expect([...tensors.keys()].sort()).toEqual(Object.keys(golden).sort());
    for (const [name, { shape, offset, bytes: size }] of tensors) {
      expect(shape).toEqual(golden[name]?.shape);
      const values = new Float32Array(
        bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + size),
      );
      expect(values).toEqual(golden[name]?.data);
    }
  });

  it('reads a file without tensors and without metadata', () => {
    writeRaw('{}   ');
    expect(readSafetensorsHeader(file)).toEqual({ tensors: new Map(), metadata: {} });
  });

  it('says that a file is not there, or is a folder', () => {
    expect(messageOfBroken()).toContain('There is no file');
    mkdirSync(file);
    expect(messageOfBroken()).toContain('is no file');
  });

  it('refuses a file that is too short for a header', () => {
    writeFileSync(file, '1234567');
    expect(messageOfBroken()).toContain('has 7 bytes');
  });

  it('refuses a header beyond the limit, before it takes memory for it', () => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(2n ** 63n);
    writeFileSync(file, length);
    expect(messageOfBroken()).toContain('9223372036854775808 bytes; at most 100000000');
  });

  it('refuses a header that goes beyond the file', () => {
    writeRaw({ w: entry('F32', [1], 0, 4) }, 4);
    truncateSync(file, 20);
    expect(messageOfBroken()).toMatch(/ends at byte 20, within its header, which ends at byte \d\d/);
  });

  it.each([
    ['is not JSON', '{"w": ', 'not JSON'],
    ['is not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'not JSON'],
    ['is a list', '[]', 'no JSON object'],
    ['is null', 'null', 'no JSON object'],
    [
      'has a tensor twice',
      '{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
      'two entries for w',
    ],
    ['has metadata of another kind', { __metadata__: { format: 1 } }, '__metadata__'],
    ['has no object for a tensor', { w: 3 }, 'entry for w'],
    ['has no offsets', { w: { dtype: 'F32', shape: [1] } }, 'data_offsets'],
    ['has a negative offset', { w: entry('F32', [1], -4, 0) }, 'data_offsets[0]'],
    ['has offsets in the wrong order', { w: entry('F32', [1], 8, 4) }, 'gives it -4'],
    ['has a fraction for an offset', { w: entry('F32', [1], 0.5, 4.5) }, 'data_offsets[0]'],
    ['has a negative dimension', { w: entry('F32', [-1], 0, 4) }, 'shape[0]'],
    ['has a shape that is no list', { w: entry('F32', 4, 0, 4) }, 'shape'],
    ['has integers', { w: entry('I64', [1], 0, 8) }, 'w is of type I64; F32, BF16, F16 can be read'],
    ['has a type that JavaScript objects have', { w: entry('toString', [1], 0, 8) }, 'is of type toString'],
    [
      'gives a tensor too many bytes',
      { w: entry('BF16', [2, 3], 0, 16) },
      'BF16 [2, 3], takes 12 bytes, but its entry in the header gives it 16 (0 to 16)',
    ],
    ['gives a tensor too few bytes', { w: entry('F32', [2, 3], 0, 16) }, 'F32 [2, 3], takes 24 bytes'],
    ['gives a tensor the size of a continent', { w: entry('F32', [2 ** 40, 2 ** 40], 0, 16) }, 'gives it 16'],
    ['lets tensors overlap', { v: entry('F32', [2], 0, 8), w: entry('F32', [2], 4, 12) }, 'within v'],
    ['leaves a gap', { v: entry('F32', [1], 0, 4), w: entry('F32', [2], 8, 16) }, 'with a gap after v'],
    [
      'does not tell what the last bytes are',
      { v: entry('F32', [1], 0, 4) },
      'its last tensor, v, ends at byte',
    ],
  ])('refuses a header that %s', (_, header, expected) => {
    writeRaw(header, 16);
    expect(messageOfBroken()).toContain(expected);
  });

  it('reads names with quotes, braces and escapes', () => {
    const name = 'a"{[:é\\';
    writeRaw({ [name]: entry('F32', [1], 0, 4), '"a"': entry('F32', [1], 4, 8) }, 8);
    expect([...readSafetensorsHeader(file).tensors.keys()]).toEqual([name, '"a"']);
  });

  it('says where a file that was cut short ends, and where it should', () => {
    writeRaw({ v: entry('F32', [1], 0, 4), w: entry('F32', [4], 4, 20) }, 20);
    const size = readFileSync(file).length;
    truncateSync(file, size - 1);
    expect(messageOfBroken()).toContain(`ends at byte ${size - 1}, within w, which ends at byte ${size}`);
  });
});

describe('writeSafetensors', () => {
  it('writes what is read again, each tensor aligned to its type', () => {
    const halves = new Uint8Array([1, 2, 3, 4, 5, 6]);
    const floats = new Uint8Array(new Float32Array([1.5, -2]).buffer);
    writeSafetensors(
      file,
      new Map([
        ['h', content('BF16', [3], halves)],
        ['f', content('F32', [1, 2], floats)],
        ['none', content('F16', [0, 7], new Uint8Array(0))],
        ['scalar', content('F16', [], new Uint8Array([0, 60]))],
      ]),
    );
    const { tensors, metadata } = readSafetensorsHeader(file);
    expect(metadata).toEqual({ format: 'pt' });
    const bytes = readFileSync(file);
    expect(Number(bytes.readBigUInt64LE()) % 8).toBe(0);
    const stored = (name: string): unknown => {
      const { dtype, shape, offset, bytes: size } = tensors.get(name) ?? { offset: 0, bytes: 0 };
      return [dtype, shape, [...bytes.subarray(offset, offset + size)]];
    };
    expect(stored('h')).toEqual(['BF16', [3], [...halves]]);
    expect(stored('f')).toEqual(['F32', [1, 2], [...floats]]);
    expect(stored('none')).toEqual(['F16', [0, 7], []]);
    expect(stored('scalar')).toEqual(['F16', [], [0, 60]]);
    expect((tensors.get('f')?.offset ?? 1) % 4).toBe(0);
    expect(readdirSync(folder)).toEqual(['x.safetensors']);
  });

  it('makes one tensor at a time', () => {
    const made: string[] = [];
    const lazy = (name: string): [string, TensorContent] => [
      name,
      {
        dtype: 'F32',
        shape: [1],
        bytes: () => {
          // What came before is in the file by now.
          made.push(`${name} after ${(readFileSync(`${file}.partial`).length - headerBytes()) / 4}`);
          return new Uint8Array(4);
        },
      },
    ];
    const headerBytes = (): number => 8 + Number(readFileSync(`${file}.partial`).readBigUInt64LE());
    writeSafetensors(file, new Map([lazy('u'), lazy('v'), lazy('w')]));
    expect(made).toEqual(['u after 0', 'v after 1', 'w after 2']);
  });

  it('leaves the file of before where one cannot be written', () => {
    writeFileSync(file, 'before');
    const short = new Map([['w', content('F32', [2], new Uint8Array(4))]]);
    expect(() => {
      writeSafetensors(file, short);
    }).toThrow(/x\.safetensors: w, F32 \[2\], takes 8 bytes; got 4/);
    expect(readFileSync(file, 'utf8')).toBe('before');
    expect(readdirSync(folder)).toEqual(['x.safetensors']);
  });

  it('says which file cannot be written', () => {
    expect(() => {
      writeSafetensors(join(folder, 'none', 'x.safetensors'), new Map());
    }).toThrow(/none\/x\.safetensors cannot be written: ENOENT/);
  });
});
